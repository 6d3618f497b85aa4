"""What is known of an uploaded file: on disk, and as clients see it."""

import re
import secrets
from typing import Literal

from pydantic import BaseModel, ConfigDict

FILE_PREFIX = "file-"
FILE_ID = re.compile(rf"{FILE_PREFIX}[0-9a-f]{{32}}")
"""The only names that ever reach the file system; 128 random bits, so nobody finds another's."""

FILENAME_CHARACTERS = 255


def new_file_id() -> str:
    """An id that cannot be guessed."""
    return f"{FILE_PREFIX}{secrets.token_hex(16)}"


class FileRecord(BaseModel):
    """An OpenAI file object: https://platform.openai.com/docs/api-reference/files/object

    Attributes:
        bytes: Size of the image file as it was uploaded.
        created_at: Unix time in seconds.
        expires_at: Unix time in seconds, from which on the file is gone.
        filename: The client's own name for it, which is only ever shown.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: Literal["vision"] = "vision"
    status: Literal["processed"] = "processed"


class FileList(BaseModel):
    """One page of files."""

    object: Literal["list"] = "list"
    data: list[FileRecord]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(BaseModel):
    """The answer to a deletion."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def shown_filename(name: str | None) -> str:
    """A client's file name without folders and control characters, cut to a sane length."""
    last = re.split(r"[/\\]", name or "")[-1]
    return "".join(filter(str.isprintable, last))[:FILENAME_CHARACTERS] or "image"
