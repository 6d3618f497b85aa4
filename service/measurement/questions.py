"""One question as a request: text, image as a data URI, sampling."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.chat_client import ChatClient, Message
from service.errors import RequestRefusedError
from service.measurement.answers import Answer
from service.measurement.images import image_part


@dataclass(frozen=True)
class Question:
    """One request.

    Attributes:
        id: Unique in its run.
        image: A file, or None for a question about text alone.
    """

    id: str
    prompt: str
    image: Path | None = None

    @property
    def digest(self) -> str:
        """Short digest of the prompt, kept with the answer."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Sampling:
    """How the service decodes: greedily at temperature 0."""

    longest: int
    temperature: float = 0.0
    seed: int = 0


@dataclass
class QuestionClient:
    """Asks one service.

    Attributes:
        extra: Parameters outside OpenAI's API. The original decodes without a repetition penalty,
            so the folder's default must not apply; a service that refuses the name is asked without
            it.
    """

    remote: ChatClient
    sampling: Sampling
    extra: dict[str, Any] = field(default_factory=lambda: {"repetition_penalty": 1.0})

    async def answer(self, question: Question) -> Answer:
        """Send a question.

        Raises:
            RequestRefusedError: the service refuses this question.
            UnreadableImageError: its image cannot be read.
            RemoteError: the service fails.
        """
        messages = [await asyncio.to_thread(_message, question)]
        try:
            reply = await self._ask(messages)
        except RequestRefusedError as error:
            if not self.extra or "repetition_penalty" not in str(error):
                raise
            self.extra = {}
            reply = await self._ask(messages)
        return Answer(question.id, reply.text, reply.truncated, reply.tokens, question.digest)

    async def _ask(self, messages: Sequence[Message]) -> Any:
        chosen = self.sampling
        return await self.remote.ask(
            messages,
            chosen.longest,
            temperature=chosen.temperature,
            seed=chosen.seed,
            extra_body=self.extra or None,
        )


def _message(question: Question) -> Message:
    content: list[Message] = []
    if question.image is not None:
        content.append(image_part(question.image))
    content.append({"type": "text", "text": question.prompt})
    return {"role": "user", "content": content}
