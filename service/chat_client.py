"""A client of an OpenAI-compatible service, for the commands that curate and evaluate.

It sends one conversation at a time and turns the service's failures into our errors. It knows
neither images nor files.
"""

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
"""Statuses that concern one request; after any other status the next request would fail too."""

_MALFORMED = (ValueError, TypeError, AttributeError, LookupError)
"""Errors while reading an answer that is a web page or follows another API.

The ``openai`` package does not check the shape of answers.
"""


@dataclass(frozen=True)
class Endpoint:
    """The address of an OpenAI-compatible service.

    Attributes:
        model: May be empty; the first model that the service lists is used then.
    """

    url: str
    model: str = ""
    api_key: str = "none"


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        text: Without white space around it.
        tokens: Its length as the service counts it; 0 when the service does not say.
        truncated: Whether it ended because it reached the maximum length.
    """

    text: str
    tokens: int = 0
    truncated: bool = False


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncIterator["ChatClient"]:
    """Open a client for a service and find its model.

    Raises:
        RemoteError: the service cannot be reached or is not an OpenAI-compatible API.
    """
    base = endpoint.url.rstrip("/")
    base = base if base.endswith("/v1") else f"{base}/v1"
    async with AsyncOpenAI(base_url=base, api_key=endpoint.api_key, timeout=_TIMEOUT) as client:
        yield ChatClient(client, base, endpoint.model or await _find_model(client, base))


@dataclass
class ChatClient:
    """Sends conversations to one model of one service; made by :func:`connect`.

    Attributes:
        length_parameter: The request field for the maximum length. OpenAI's reasoning models refuse
            ``max_tokens``; the client then changes to ``max_completion_tokens``.
    """

    client: AsyncOpenAI
    url: str
    model: str
    length_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    async def ask(self, messages: Sequence[Message], max_tokens: int, **options: Any) -> Reply:
        """Return the answer to a conversation, of at most ``max_tokens``; tries three times.

        Raises:
            RequestRefusedError: the service refuses this conversation.
            RemoteError: the service fails, refuses access, or is not an OpenAI-compatible API.
        """
        try:
            completion = await self._complete(messages, max_tokens, options)
        except (APIConnectionError, APIStatusError) as error:
            raise _translate(self.url, error) from error
        except ValueError as error:  # labelled as JSON but not JSON
            raise _incompatible(self.url) from error
        try:
            choice = completion.choices[0]
            text = (choice.message.content or "").strip()
        except _MALFORMED as error:
            raise _incompatible(self.url) from error
        tokens = completion.usage.completion_tokens if completion.usage else 0
        return Reply(text, tokens, choice.finish_reason == "length")

    async def _complete(
        self, messages: Sequence[Message], max_tokens: int, options: dict[str, Any]
    ) -> ChatCompletion:
        create = partial(
            self.client.chat.completions.create,
            model=self.model,
            messages=messages,
            **options,
        )
        parameter = self.length_parameter
        try:
            completion: ChatCompletion = await create(**{parameter: max_tokens})
        except BadRequestError as error:
            if parameter != "max_tokens" or error.param != parameter:
                raise
            completion = await create(max_completion_tokens=max_tokens)
            self.length_parameter = "max_completion_tokens"
        return completion


async def _find_model(client: AsyncOpenAI, base: str) -> str:
    try:
        return (await client.models.list()).data[0].id
    except (APIConnectionError, APIStatusError) as error:
        raise _translate(base, error) from error
    except _MALFORMED as error:
        raise _incompatible(base) from error


def _translate(url: str, error: APIConnectionError | APIStatusError) -> RemoteError:
    if not isinstance(error, APIStatusError):
        return RemoteError(f"No service answers at {url}: {error}")
    if error.status_code == 404 and not isinstance(error.body, dict):
        return _incompatible(url)  # an OpenAI-compatible API answers 404 in JSON
    kind = RequestRefusedError if error.status_code in _REFUSALS else RemoteError
    return kind(f"{url} answers: {str(error).removesuffix('.')}.")


def _incompatible(url: str) -> RemoteError:
    return RemoteError(f"{url} is not an OpenAI-compatible API: its answer cannot be read as one.")
