"""The record of a stored file, on disk and as clients see it."""

import re
import secrets
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

FILE_PREFIX = "file-"
FILE_ID = re.compile(rf"{FILE_PREFIX}[0-9a-f]{{32}}")
"""The only names that reach the file system. 128 random bits make an id impossible to guess."""

ImagePurpose = Literal["vision", "user_data"]
"""Both are for images that requests refer to; OpenAI's newer clients send the second."""

UploadPurpose = Literal[ImagePurpose, "batch"]
"""`batch` is for the requests of a batch, in JSON lines."""

Purpose = Literal[UploadPurpose, "batch_output"]
"""The service itself writes `batch_output`."""

PURPOSES: tuple[UploadPurpose, ...] = get_args(UploadPurpose)
"""The purposes of uploads."""

FILENAME_CHARACTERS = 255


def new_file_id() -> str:
    """Make a random file id."""
    return f"{FILE_PREFIX}{secrets.token_hex(16)}"


class FileRecord(BaseModel):
    """An OpenAI file object (https://platform.openai.com/docs/api-reference/files/object).

    Attributes:
        bytes: Size of the content.
        created_at: Unix time in seconds.
        expires_at: Unix time in seconds at which the file expires.
        filename: The client's name for the file; the service only displays it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: Purpose = "vision"
    status: Literal["processed"] = "processed"


class FileList(BaseModel):
    """One page of a list of files."""

    object: Literal["list"] = "list"
    data: list[FileRecord]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(BaseModel):
    """The response to a deletion."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def shown_filename(name: str | None) -> str:
    """Remove folders and control characters from a client's file name, and limit its length."""
    last = re.split(r"[/\\]", name or "")[-1]
    return "".join(filter(str.isprintable, last))[:FILENAME_CHARACTERS] or "image"
