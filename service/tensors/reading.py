"""Checkpoint files, read tensor by tensor and without running anything that they contain.

Headers are read first; a tensor's bytes only when it is asked for, so that memory stays near the
largest tensor whatever the file's size. Pickles go through torch's restricted unpickler
(``weights_only=True``): it builds tensors and plain containers and refuses every other global.
"""

import hashlib
import json
import math
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from service.errors import CheckpointError

MAX_PICKLE_BYTES = 64 * 2**20
"""Largest structure part (not tensor data) of a pickled checkpoint; published ones need under 1 MiB."""

HASH_BLOCK = 4 * 2**20

SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
# Written by downloads that went wrong, in place of the file that was wanted.
_IMPOSTORS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: run `git lfs pull`.",
    b"<!DOCTYPE": "is a web page, not a checkpoint: the download was refused or needs a log-in.",
    b"<html": "is a web page, not a checkpoint: the download was refused or needs a log-in.",
}


@dataclass(frozen=True)
class TensorEntry:
    """A tensor in a file: what is known of it before its bytes are read.

    Attributes:
        read: Returns the tensor on the CPU, in memory of its own; raises :class:`CheckpointError`.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of the values."""
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True)
class Checkpoint:
    """The content of one file, or of a folder of shards.

    Attributes:
        tensors: By name; of a training checkpoint, those below ``model``.
        training: The plain (non-tensor) entries beside ``model``: the training configuration, epoch.
        files: Everything that was opened, for hashing.
        absent: Of a folder, shards that its index names and that are not there.
    """

    tensors: dict[str, TensorEntry]
    training: dict[str, Any]
    files: list[Path]
    absent: list[Path] = field(default_factory=list)


def read_checkpoint(path: Path) -> Checkpoint:
    """Open a ``.pth``, ``.bin`` or ``.safetensors`` file, or a Hugging Face folder of them.

    Raises:
        CheckpointError: unreadable, unsafe, incomplete or no checkpoint; says what to do.
    """
    if path.is_dir():
        return _read_folder(path)
    _refuse_impostors(path)
    if path.suffix == ".safetensors":
        return Checkpoint(_read_safetensors(path), {}, [path])
    content = _read_pickle(path)
    tensors, training = _model_and_training(content)
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors that this importer can find.")
    return Checkpoint(tensors, training, [path])


def _read_folder(folder: Path) -> Checkpoint:
    for index_name in INDEX_FILES:
        index = folder / index_name
        if index.is_file():
            return _read_shards(folder, index)
    for name in SINGLE_FILES:
        if (folder / name).is_file():
            single = read_checkpoint(folder / name)
            return Checkpoint(single.tensors, {}, single.files)
    raise CheckpointError(
        f"{folder} holds none of {', '.join((*SINGLE_FILES, *INDEX_FILES))}: it is no Hugging Face "
        "model folder, or its download is incomplete."
    )


def _read_shards(folder: Path, index: Path) -> Checkpoint:
    _refuse_impostors(index)
    try:
        weight_map: dict[str, str] = json.loads(index.read_text())["weight_map"]
        shards = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(f"{index} is no shard index: {error}") from error
    if any(Path(shard).name != shard for shard in shards):
        raise CheckpointError(f"{index} names files outside its folder.")
    present = [shard for shard in shards if (folder / shard).is_file()]
    tensors: dict[str, TensorEntry] = {}
    for shard in present:
        tensors |= read_checkpoint(folder / shard).tensors
    lost = sorted(
        name for name, shard in weight_map.items() if shard in present and name not in tensors
    )
    if lost:
        raise CheckpointError(f"{index} lists tensors that no shard holds: {', '.join(lost[:8])}")
    absent = [folder / shard for shard in shards if shard not in present]
    return Checkpoint(tensors, {}, [index, *(folder / shard for shard in present)], absent)


def _refuse_impostors(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            start = stream.read(64).lstrip()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    for beginning, explanation in _IMPOSTORS.items():
        if start.lower().startswith(beginning.lower()):
            raise CheckpointError(f"{file} {explanation}")


def _read_safetensors(file: Path) -> dict[str, TensorEntry]:
    def reader(name: str) -> Callable[[], Tensor]:
        def read() -> Tensor:
            # Opened anew for each tensor: the mapping, and with it the pages it has touched, goes away.
            with safe_open(file, framework="pt") as content:
                return content.get_tensor(name).clone()

        return read

    entries = {}
    try:
        with safe_open(file, framework="pt") as content:
            for name in content.keys():  # noqa: SIM118 - no mapping, only a method of that name
                part = content.get_slice(name)
                dtype = SAFETENSORS_DTYPES[part.get_dtype()]
                entries[name] = TensorEntry(tuple(part.get_shape()), dtype, reader(name))
    except (SafetensorError, KeyError, OSError) as error:
        raise CheckpointError(f"{file} cannot be read as safetensors: {error}") from error
    return entries


def _read_pickle(file: Path) -> Any:
    streamed = zipfile.is_zipfile(file)
    if streamed:
        _check_archive(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch's own storage classes
            # On the meta device nothing is read but the structure. The format before torch 1.6
            # is one stream without an index: it has to be read whole.
            content = torch.load(file, "meta" if streamed else "cpu", weights_only=True)
    except Exception as error:  # a crafted pickle can make the unpickler raise anything
        # Not torch's own advice, which is to switch the protection off.
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        found = f"it asks for {wanted[1]}" if wanted else type(error).__name__
        raise CheckpointError(
            f"{file} was not read: it is damaged, or it holds Python objects besides tensors, which "
            f"could run code on this machine ({found}). Ask whoever made it for a file that holds "
            "tensors only, or for safetensors."
        ) from error
    return _with_readers(content, file, streamed)


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
        raise CheckpointError(f"{file} is compressed; torch never writes that. Save it anew.")
    if any(
        member.file_size > MAX_PICKLE_BYTES for member in members if _is_structure(member.filename)
    ):
        raise CheckpointError(f"{file} has a structure part larger than {MAX_PICKLE_BYTES} bytes.")


def _is_structure(member: str) -> bool:
    return member.endswith(".pkl")


def _with_readers(content: Any, file: Path, streamed: bool) -> Any:
    if isinstance(content, Tensor):
        read = _file_reader(content, file) if streamed else content.detach
        return TensorEntry(tuple(content.shape), content.dtype, read)
    if isinstance(content, Mapping):
        return {key: _with_readers(value, file, streamed) for key, value in content.items()}
    return content


def _file_reader(tensor: Tensor, file: Path) -> Callable[[], Tensor]:
    """Reads the bytes of a tensor that was opened on the meta device."""
    itemsize, shape, stride = tensor.dtype.itemsize, tensor.shape, tensor.stride()
    start: int | None = getattr(tensor.untyped_storage(), "_checkpoint_offset", None)
    supported = start is not None and tensor.layout == torch.strided and not tensor.is_quantized
    length = _extent(tensor) * itemsize if tensor.numel() else 0

    def read() -> Tensor:
        if start is None or not supported:
            raise CheckpointError(f"{file} holds a tensor of a kind that is not supported.")
        # Checked before anything is allocated: shapes and strides are the file's word only.
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

    return read


def _extent(tensor: Tensor) -> int:
    """Elements from the tensor's first to its last, in memory."""
    return 1 + sum(
        (size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)
    )


def _model_and_training(content: Any) -> tuple[dict[str, TensorEntry], dict[str, Any]]:
    if not isinstance(content, dict):
        return {}, {}
    for key in ("model", "state_dict"):
        if isinstance(content.get(key), dict):
            training = {other: content[other] for other in ("config", "epoch") if other in content}
            return _only_tensors(content[key]), training
    return _only_tensors(content), {}


def _only_tensors(content: dict[Any, Any]) -> dict[str, TensorEntry]:
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, TensorEntry)
    }


def sha256(file: Path) -> str:
    """Hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
