"""The form that embeddings have outside: base64 safetensors, or numbers with their shape.

Safetensors (https://huggingface.co/docs/safetensors) is a JSON header and raw numbers: reading it runs
no code.
"""

import json
import math
from hashlib import blake2b

import pybase64
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from service.errors import ImageEmbeddingsError

TENSOR = "image_embeds"
"""Name of the only tensor in the file."""

URI_START = "data:application/vnd.safetensors;base64,"
"""Embeddings in an image's address; the form in which every route's parser lets them through."""

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LARGEST = 1e4
"""Magnitude of a value at most. Real ones are below 100; beyond 65504 a float16 engine has infinities,
which would stay in its cache."""

HEADER_BYTES = 4096

NO_EMBEDDINGS = (
    "This service takes images, not embeddings (its setting image_embeddings_input is off)."
)


def is_embeddings_uri(url: str) -> bool:
    """Whether an image's address holds embeddings."""
    return url[: len(URI_START)].lower() == URI_START


def to_base64(embeddings: Tensor) -> str:
    """Base64 of a safetensors file with ``embeddings`` under :data:`TENSOR`, its dtype kept."""
    return pybase64.b64encode(save({TENSOR: embeddings.contiguous()})).decode()


def numbers_json(embeddings: Tensor) -> str:
    """JSON of shape and values, row by row.

    A row at a time, as nothing else runs while the interpreter writes one list.
    """
    rows = (json.dumps(row.tolist(), separators=(",", ":"))[1:-1] for row in embeddings.float())
    return f'{{"shape": {json.dumps(list(embeddings.shape))}, "data": [{",".join(rows)}]}}'


def to_uri(payload: object) -> str:
    """An ``image_embeds`` part's value as an image's address.

    Args:
        payload: Base64 safetensors, or ``{"shape": [...], "data": [...]}``.

    Raises:
        ImageEmbeddingsError: it is neither; whether the shape is the model's is not looked at yet.
    """
    if isinstance(payload, str) and payload:
        return URI_START + payload
    if isinstance(payload, dict) and payload.keys() == {"shape", "data"}:
        return URI_START + to_base64(_from_numbers(payload["shape"], payload["data"]))
    raise ImageEmbeddingsError(
        "`image_embeds` is base64 safetensors, or an object of `shape` and `data` (numbers)."
    )


def from_uri(url: str, shape: tuple[int, int]) -> Tensor:
    """Embeddings from an image's address.

    Returns:
        ``shape``, in the sender's dtype: one of :data:`DTYPES`.

    Raises:
        ImageEmbeddingsError: anything else than finite numbers of exactly that shape.
    """
    encoded = url[len(URI_START) :]
    if len(encoded) > (math.prod(shape) * 4 + HEADER_BYTES) * 4 // 3 + 4:
        raise _wrong_shape(shape)
    try:
        tensors = load(pybase64.b64decode(encoded, validate=True))
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError):
        raise ImageEmbeddingsError("`image_embeds` is no base64 safetensors file.") from None
    embeddings = tensors.get(TENSOR)
    if embeddings is None or len(tensors) != 1 or embeddings.dtype not in DTYPES:
        raise ImageEmbeddingsError(
            f"The safetensors file must hold one tensor, `{TENSOR}`, of float32, bfloat16 or float16."
        )
    if embeddings.shape != shape:
        raise _wrong_shape(shape)
    if not (embeddings.abs() <= LARGEST).all():
        raise ImageEmbeddingsError(f"Values must be finite and at most {LARGEST:g} in magnitude.")
    return embeddings


def embeddings_digest(embeddings: Tensor, salt: str = "") -> str:
    """Identity of received embeddings; never equal to an image's. ``salt`` as for images."""
    key = blake2b(f"image_embeds {embeddings.dtype} {salt}".encode()).digest()
    numbers = embeddings.contiguous().view(torch.uint8).numpy().tobytes()
    return blake2b(numbers, digest_size=32, key=key).hexdigest()


def _from_numbers(shape: object, data: object) -> Tensor:
    try:
        if not isinstance(shape, list) or not isinstance(data, list):
            raise TypeError
        rows, width = map(int, shape)
        numbers = torch.tensor(data, dtype=torch.float32)
        if min(rows, width) < 1 or numbers.dim() != 1:
            raise ValueError
        return numbers.reshape(rows, width)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        raise ImageEmbeddingsError(
            "`data` must be a flat list of as many numbers as `shape` (two sizes) says."
        ) from None


def _wrong_shape(shape: tuple[int, int]) -> ImageEmbeddingsError:
    return ImageEmbeddingsError(
        f"This model's embeddings of an image are {shape[0]} rows of {shape[1]} numbers."
    )
