"""From a ``multipart/form-data`` body to a file that may be stored (RFC 7578).

The form stays in memory, which the size of a body limits. It is not written to a disk, because that
could be full.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.errors import ImageError, UploadError
from service.files.record import PURPOSES, UploadPurpose, shown_filename
from service.images.decoding import decode_pixels

# The client gets our own message about a malformed form.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

FIELDS = 8
FIELD_BYTES = 1024
ANCHOR, SECONDS = "expires_after[anchor]", "expires_after[seconds]"
SHORTEST, LONGEST = 60, 10 * 365 * 24 * 3600
"""Range of a file's lifetime that a client may ask for, in seconds; the store has a limit of its
own."""


@dataclass(frozen=True)
class Upload:
    """A validated upload.

    Attributes:
        filename: The client's name for the file, without folders and control characters.
        age: Lifetime that the client asks for, in seconds.
        purpose: One of :data:`PURPOSES`, as the client gave it.
    """

    data: bytes
    filename: str
    age: int | None
    purpose: UploadPurpose


async def read_upload(request: Request, max_image_bytes: int) -> Upload:
    """Read the form. Whether an image is one is checked later, and so are the lines of a batch.

    Args:
        request: The request, whose body has not been read.
        max_image_bytes: Largest size of an image. The lines of a batch are bounded with the body.

    Raises:
        UploadError: naming the wrong field.
    """
    async with _parsed(request) as form:
        return await _read(form, max_image_bytes)


async def _read(form: FormData, max_image_bytes: int) -> Upload:
    purpose = form.get("purpose")
    if purpose not in PURPOSES:
        names = ", ".join(f"`{name}`" for name in PURPOSES[:-1]) + f" or `{PURPOSES[-1]}`"
        raise UploadError(
            f"The purpose of a file is {names}: other purposes are not served.", "purpose"
        )
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise UploadError("The form needs a field `file` that holds a file.", "file")
    if purpose != "batch" and (file.size or 0) > max_image_bytes:
        raise UploadError(f"The image has more than {max_image_bytes} bytes.", "file")
    return Upload(await file.read(), shown_filename(file.filename), _age(form), purpose)


def check_image(data: bytes, max_pixels: int) -> None:
    """Raise :class:`UploadError` for a file that cannot be decoded. Blocks while it decodes."""
    try:
        decode_pixels(data, 1, max_pixels)
    except ImageError as error:
        raise UploadError(str(error), "file") from error


@asynccontextmanager
async def _parsed(request: Request) -> AsyncIterator[FormData]:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UploadError("A file is uploaded as multipart/form-data.", "file")
    parser = _InMemory(
        request.headers,
        request.stream(),
        max_files=1,
        max_fields=FIELDS,
        max_part_size=FIELD_BYTES,
    )
    try:
        yield await parser.parse()
    except ClientDisconnect:
        raise UploadError("The upload was given up.", "file") from None
    except (MultiPartException, LookupError, ValueError):
        # ValueError: the client has named another codec; the parts are text in UTF-8 or Latin-1.
        raise UploadError("The body is not valid multipart/form-data.", "file") from None
    finally:
        parser.close()


class _InMemory(MultiPartParser):
    """Does not write to the disk, and also closes files of incomplete parts."""

    spool_max_size = 0

    def close(self) -> None:
        for file in self._files_to_close_on_error:
            file.close()


def _age(form: FormData) -> int | None:
    anchor, seconds = form.get(ANCHOR), form.get(SECONDS)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise UploadError("Files expire after `created_at`.", ANCHOR)
    if not isinstance(seconds, str) or not seconds.isdecimal() or len(seconds) > 10:
        raise UploadError("The time until a file expires is a number of seconds.", SECONDS)
    if not SHORTEST <= int(seconds) <= LONGEST:
        raise UploadError(f"A file expires after {SHORTEST} to {LONGEST} seconds.", SECONDS)
    return int(seconds)
