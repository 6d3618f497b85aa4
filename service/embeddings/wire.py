"""The wire format of embeddings: base64 safetensors, or a list of numbers with its shape.

A safetensors file (https://huggingface.co/docs/safetensors) is a JSON header and raw numbers.
Reading it executes no code.
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
"""Start of an image URL that holds embeddings. The parsers of all routes accept such a URL."""

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LARGEST = 1e4
"""Maximum magnitude of a value. Real values are below 100. Values above 65504 would become infinite
in a float16 engine and stay in its cache."""

HEADER_BYTES = 4096
"""Maximum size of a file's header."""

NO_EMBEDDINGS = (
    "This service accepts images but not embeddings (the setting image_embeddings_input is off)."
)


def is_embeddings_uri(url: str) -> bool:
    """Return whether an image URL holds embeddings."""
    return url[: len(URI_START)].lower() == URI_START


def to_base64(embeddings: Tensor) -> str:
    """Write a base64 safetensors file with ``embeddings`` as :data:`TENSOR`, in their dtype."""
    return pybase64.b64encode(save({TENSOR: embeddings.contiguous()})).decode()


def numbers_json(embeddings: Tensor) -> str:
    """Write shape and values as JSON.

    Each row is written by itself, because ``json.dumps`` holds the GIL until a whole list is
    written.
    """
    rows = (json.dumps(row.tolist(), separators=(",", ":"))[1:-1] for row in embeddings.float())
    return f'{{"shape": {json.dumps(list(embeddings.shape))}, "data": [{",".join(rows)}]}}'


def to_uri(payload: object) -> str:
    """Convert the value of an ``image_embeds`` part to an image URL.

    Args:
        payload: Base64 safetensors, or ``{"shape": [...], "data": [...]}``.

    Raises:
        ImageEmbeddingsError: it is neither. :func:`from_uri` checks the model's shape later.
    """
    if isinstance(payload, str) and payload:
        return URI_START + payload
    if isinstance(payload, dict) and payload.keys() == {"shape", "data"}:
        return URI_START + to_base64(_parse_numbers(payload["shape"], payload["data"]))
    raise ImageEmbeddingsError(
        "`image_embeds` must be base64 safetensors, or an object with `shape` and `data` (numbers)."
    )


def from_uri(url: str, shape: tuple[int, int]) -> Tensor:
    """Read embeddings from an image URL.

    Args:
        shape: ``(visual_tokens, hidden_size)`` of the model.

    Returns:
        A tensor of that shape, in the sender's dtype (one of :data:`DTYPES`).

    Raises:
        ImageEmbeddingsError: the URL holds anything but finite numbers of exactly that shape.
    """
    encoded = url[len(URI_START) :]
    if len(encoded) > (math.prod(shape) * 4 + HEADER_BYTES) * 4 // 3 + 4:
        raise _wrong_shape(shape)
    try:
        tensors = load(pybase64.b64decode(encoded, validate=True))
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError):
        raise ImageEmbeddingsError("`image_embeds` is not a base64 safetensors file.") from None
    embeddings = tensors.get(TENSOR)
    if embeddings is None or len(tensors) != 1 or embeddings.dtype not in DTYPES:
        raise ImageEmbeddingsError(
            f"The safetensors file must hold one tensor `{TENSOR}` of float32, bfloat16 or float16."
        )
    if embeddings.shape != shape:
        raise _wrong_shape(shape)
    if not (embeddings.abs() <= LARGEST).all():
        raise ImageEmbeddingsError(f"Values must be finite and at most {LARGEST:g} in magnitude.")
    return embeddings


def embeddings_digest(embeddings: Tensor, salt: str = "") -> str:
    """Hash received embeddings. The digest never equals that of an image.

    Args:
        salt: See :func:`service.embeddings.encode.content_digest`.
    """
    key = blake2b(f"image_embeds {embeddings.dtype} {salt}".encode()).digest()
    numbers = embeddings.contiguous().view(torch.uint8).numpy().tobytes()
    return blake2b(numbers, digest_size=32, key=key).hexdigest()


def _parse_numbers(shape: object, data: object) -> Tensor:
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
            "`shape` must be two sizes, and `data` a flat list of as many numbers as their product."
        ) from None


def _wrong_shape(shape: tuple[int, int]) -> ImageEmbeddingsError:
    return ImageEmbeddingsError(
        f"This model needs embeddings of {shape[0]} rows of {shape[1]} numbers for each image."
    )
