"""Another OpenAI-compatible service, as the commands that curate and evaluate ask it: who it is, one
question at a time, and what its failures mean. Knows neither images nor files."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from openai import APIConnectionError, APIStatusError, AsyncOpenAI, BadRequestError
from openai.types.chat import ChatCompletion

from service.errors import RemoteError, RequestRefusedError

Message = dict[str, object]
"""One message of a conversation, in OpenAI's naming."""

_TIMEOUT = 120
"""Seconds for one answer."""

_REFUSALS = (400, 413, 422)
"""Statuses that speak of this request alone; after any other the next request would fail as well."""

_FOREIGN = (ValueError, TypeError, AttributeError, LookupError)
"""What reading an answer raises that follows another API or is a web page: the client hands those
through as they came."""


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible service; ``model`` may be empty where it serves only one."""

    url: str
    model: str = ""
    api_key: str = "none"


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        text: Without white space around it.
        tokens: Its length by the service's own count; 0 where it gives none.
        cut: Whether it ended at the longest length allowed.
    """

    text: str
    tokens: int = 0
    cut: bool = False


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncIterator["Remote"]:
    """Open connections to a service and find its model.

    Raises:
        RemoteError: it cannot be reached or is no OpenAI-compatible API.
    """
    base = endpoint.url.rstrip("/")
    base = base if base.endswith("/v1") else f"{base}/v1"
    async with AsyncOpenAI(base_url=base, api_key=endpoint.api_key, timeout=_TIMEOUT) as client:
        yield Remote(client, base, endpoint.model or await _first_model(client, base))


@dataclass
class Remote:
    """A service that can be asked; see :func:`connect`.

    Attributes:
        limit: How the service calls the longest answer: OpenAI's reasoning models refuse the older name.
    """

    client: AsyncOpenAI
    url: str
    model: str
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    async def ask(self, messages: Sequence[Message], longest: int, **options: Any) -> Reply:
        """The answer to a conversation, of ``longest`` tokens at most; tried three times.

        Raises:
            RequestRefusedError: the service finds fault with this conversation.
            RemoteError: the service fails, lets nobody in, or is no OpenAI-compatible API.
        """
        try:
            reply = await self._create(messages, longest, options)
        except (APIConnectionError, APIStatusError) as error:
            raise _failure(self.url, error) from error
        except ValueError as error:  # called JSON, but none
            raise _incompatible(self.url) from error
        try:
            choice = reply.choices[0]
            text = (choice.message.content or "").strip()
        except _FOREIGN as error:
            raise _incompatible(self.url) from error
        tokens = reply.usage.completion_tokens if reply.usage else 0
        return Reply(text, tokens, choice.finish_reason == "length")

    async def _create(
        self, messages: Sequence[Message], longest: int, options: dict[str, Any]
    ) -> ChatCompletion:
        create = partial(
            self.client.chat.completions.create,
            model=self.model,
            messages=messages,
            **options,
        )
        limit = self.limit
        try:
            reply: ChatCompletion = await create(**{limit: longest})
        except BadRequestError as error:
            if limit != "max_tokens" or error.param != limit:
                raise
            reply = await create(max_completion_tokens=longest)
            self.limit = "max_completion_tokens"
        return reply


async def _first_model(client: AsyncOpenAI, base: str) -> str:
    try:
        return (await client.models.list()).data[0].id
    except (APIConnectionError, APIStatusError) as error:
        raise _failure(base, error) from error
    except _FOREIGN as error:
        raise _incompatible(base) from error


def _failure(url: str, error: APIConnectionError | APIStatusError) -> RemoteError:
    if not isinstance(error, APIStatusError):
        return RemoteError(f"No service answers at {url}: {error}")
    if error.status_code == 404 and not isinstance(error.body, dict):
        return _incompatible(url)  # an API would say in JSON what it does not find
    kind = RequestRefusedError if error.status_code in _REFUSALS else RemoteError
    return kind(f"{url} answers: {str(error).removesuffix('.')}.")


def _incompatible(url: str) -> RemoteError:
    return RemoteError(f"{url} is not an OpenAI-compatible API: its answer cannot be read as one.")
