"""The messages between API processes and the encoder's process.

A message is a frame with its kind (one byte), the number of the question within its client (8 bytes) and a text,
and perhaps a second frame with a tensor's bytes. The encoder's socket puts the client's identity before them.

::

    API process             encoder
    ASK digest         ->                   What are the embeddings of this image?
    ASK_LATER digest   ->                   The same for an image that waits for all others.
                       <-  DECODE           The image is not decoded yet: decode it.
    PIXELS bytes       ->
    DECODING_FAILED    ->                   All questions about the image get the error.
    CANCEL             ->                   The question has been withdrawn.
    FIND digest        ->                   The embeddings, if they are cached.
                       <-  ABSENT           They are not.
                       <-  EMBEDDINGS dtype, seconds, bytes
                       <-  ERROR class message
    PING               ->
                       <-  STATUS           See :class:`Status`.
"""

import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from service import errors
from service.errors import EncodingError, ServiceError

ASK, ASK_LATER, DECODE, PIXELS, DECODING_FAILED, CANCEL = range(6)
FIND, ABSENT, EMBEDDINGS, ERROR, PING, STATUS = range(6, 12)

_HEAD = struct.Struct("<Bq")
_STATUS = struct.Struct("<dd?")

DTYPES = {str(dtype).encode(): dtype for dtype in (torch.float32, torch.bfloat16, torch.float16)}


@dataclass(frozen=True)
class Status:
    """What the encoder says about itself.

    Attributes:
        silence: Seconds since the current batch began; 0 between batches.
        seconds_to_empty: Estimated seconds to encode all queued images.
        failed: Whether the encoder no longer works.
    """

    silence: float = 0.0
    seconds_to_empty: float = 0.0
    failed: bool = False

    def pack(self) -> bytes:
        """Return the payload of a STATUS message."""
        return _STATUS.pack(self.silence, self.seconds_to_empty, self.failed)

    @classmethod
    def unpack(cls, payload: bytes) -> "Status":
        """Read the payload of a STATUS message."""
        return cls(*_STATUS.unpack(payload))


def pack_head(kind: int, number: int, text: bytes = b"") -> bytes:
    """Return a message's first frame."""
    return _HEAD.pack(kind, number) + text


def unpack_head(frame: bytes) -> tuple[int, int, bytes]:
    """Read a message's first frame: kind, number of the question, text."""
    kind, number = _HEAD.unpack_from(frame)
    return kind, number, frame[_HEAD.size :]


def pack_tensor(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor without copying them, if it is contiguous."""
    return tensor.contiguous().view(torch.uint8).numpy().reshape(-1).data


def unpack_tensor(data: memoryview, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """Copy a message's bytes into a tensor of its own."""
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


def pack_error(error: BaseException) -> bytes:
    """Return class and message of an error. An error of another kind becomes an EncodingError."""
    kind = error if isinstance(error, ServiceError) else EncodingError("Encoding has failed.")
    return f"{type(kind).__name__} {kind}".encode()


def unpack_error(text: bytes) -> ServiceError:
    """Return the error that was packed."""
    name, _, message = text.partition(b" ")
    kind = getattr(errors, name.decode(), EncodingError)
    error = kind(message.decode())
    assert isinstance(error, ServiceError), (
        "the other side sent an error of an unknown class: a bug"
    )
    return error
