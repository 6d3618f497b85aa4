"""Pickled checkpoints (``.pth``, ``.bin``), read without running anything that they contain.

torch's restricted unpickler (``weights_only=True``) builds tensors and plain containers and refuses
every other global.
"""

import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor

MAX_PICKLE_BYTES = 64 * 2**20
"""Largest ``.pkl`` member of an archive; it holds no tensor data. Published ones have under 1 MiB."""


def read_pickle(file: Path) -> Any:
    """Read a pickled checkpoint; every tensor in it becomes a :class:`LazyTensor`.

    Raises:
        CheckpointError: the file is damaged, unsafe, or of a kind that torch does not write.
    """
    is_archive = zipfile.is_zipfile(file)
    if is_archive:
        _check_archive(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about its own storage classes
            # On the meta device torch reads only the structure. The format before torch 1.6 is one
            # stream without an index, so the whole file must be read.
            content = torch.load(file, "meta" if is_archive else "cpu", weights_only=True)
    except Exception as error:  # a crafted pickle can make the unpickler raise anything
        # torch's own message advises switching the protection off, so it is not repeated.
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it asks for {refused[1]}" if refused else type(error).__name__
        raise CheckpointError(
            f"{file} was not read: it is damaged, or it holds Python objects besides tensors, which "
            f"could run code on this machine ({reason}). Ask the author for a file that holds only "
            "tensors, or for safetensors."
        ) from error
    return _replace_tensors(content, file, is_archive)


def _check_archive(file: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            for member in members:
                if member.filename.endswith("/byteorder") and archive.read(member) != b"little":
                    raise CheckpointError(f"{file} was saved on a big-endian machine.")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{file} is a damaged archive: {error}") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise CheckpointError(f"{file} is compressed, which torch never does. Save it again.")
    pickles = [member for member in members if member.filename.endswith(".pkl")]
    if any(member.file_size > MAX_PICKLE_BYTES for member in pickles):
        raise CheckpointError(f"{file} has a structure part larger than {MAX_PICKLE_BYTES} bytes.")


def _replace_tensors(content: Any, file: Path, is_archive: bool) -> Any:
    if isinstance(content, Tensor):
        load = _archive_loader(content, file) if is_archive else content.detach
        return LazyTensor(tuple(content.shape), content.dtype, load)
    if isinstance(content, Mapping):
        return {key: _replace_tensors(value, file, is_archive) for key, value in content.items()}
    return content


def _archive_loader(tensor: Tensor, file: Path) -> Callable[[], Tensor]:
    """Return a function that reads the values of a tensor that was opened on the meta device."""
    itemsize, shape, stride = tensor.dtype.itemsize, tensor.shape, tensor.stride()
    start: int | None = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    supported = start is not None and tensor.layout == torch.strided and not tensor.is_quantized
    length = _span(tensor) * itemsize if tensor.numel() else 0

    def load() -> Tensor:
        if start is None or not supported:
            raise CheckpointError(f"{file} holds a tensor of a kind that is not supported.")
        # The file may claim any shape and stride, so check them before allocating memory.
        if max(length, tensor.numel() * itemsize) > file.stat().st_size:
            raise CheckpointError(f"{file} holds a tensor larger than the file: it is damaged.")
        buffer = bytearray(length)
        with file.open("rb") as stream:
            stream.seek(start + int(tensor.storage_offset()) * itemsize)
            if stream.readinto(buffer) != length:
                raise CheckpointError(f"{file} ends before its tensors do: it is damaged.")
        if not length:
            return torch.empty(shape, dtype=tensor.dtype)
        return torch.frombuffer(buffer, dtype=tensor.dtype).as_strided(shape, stride).contiguous()

    return load


def _span(tensor: Tensor) -> int:
    """Count the elements between the tensor's first and last one in memory, both included."""
    return 1 + sum(
        (size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)
    )
