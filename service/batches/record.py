"""A batch's record, for clients and on disk.

See https://platform.openai.com/docs/api-reference/batch.
"""

import re
import secrets
from typing import Literal

from pydantic import BaseModel, ConfigDict

BATCH_PREFIX = "batch_"
BATCH_ID = re.compile(rf"{BATCH_PREFIX}[0-9a-f]{{32}}")
"""The only names that reach the file system. 128 random bits make an id impossible to guess."""

Endpoint = Literal[
    "/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/image_embeddings"
]

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
Outcome = Literal["completed", "expired", "cancelled"]

FINISHED: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})


def new_batch_id() -> str:
    """Make a random batch id."""
    return f"{BATCH_PREFIX}{secrets.token_hex(16)}"


class BatchError(BaseModel):
    """Why a batch cannot run; ``line`` counts from 1."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchErrors(BaseModel):
    """OpenAI's list of errors."""

    object: Literal["list"] = "list"
    data: list[BatchError] = []


class Counts(BaseModel):
    """Numbers of lines. Lines that expired count as failed."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class InputTokensDetails(BaseModel):
    """Prompt tokens that were found in the engine's cache."""

    cached_tokens: int = 0


class OutputTokensDetails(BaseModel):
    """Tokens of reasoning; these models have none."""

    reasoning_tokens: int = 0


class Usage(BaseModel):
    """Tokens of all lines that were completed."""

    input_tokens: int = 0
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int = 0


class Batch(BaseModel):
    """An OpenAI batch object. Times are Unix times in seconds."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: Endpoint
    model: str | None = None
    errors: BatchErrors | None = None
    input_file_id: str
    completion_window: str
    status: Status = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: Counts = Counts()
    usage: Usage = Usage()
    metadata: dict[str, str] | None = None


class StoredBatch(BaseModel):
    """A batch with what only the service knows.

    Attributes:
        owner: Name of the API key that created it, or "" without keys.
        outcome: How it ends; set once no further line will run.
        output_seconds: Lifetime of its output files, in seconds; None for the store's longest.
    """

    batch: Batch
    owner: str
    outcome: Outcome | None = None
    output_seconds: int | None = None


class BatchList(BaseModel):
    """One page of a list of batches."""

    object: Literal["list"] = "list"
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool
