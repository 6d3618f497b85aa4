"""Ask many questions over HTTP, several at a time, and keep each answer as it comes."""

import asyncio
import base64
import hashlib
import mimetypes
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from service.chat_client import ChatClient, Endpoint, Message, connect
from service.errors import EvaluationError, RemoteError, RequestRefusedError
from service.measurement.answers import Answer, AnswerFile

_TERMINAL_SECONDS, _LOG_SECONDS = 0.2, 15.0
"""Pause between two updates of the progress line."""

_HOPELESS = 20
"""Refused items before the first answer that end a run."""


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
class Asked:
    """What a run brought.

    Attributes:
        answers: By item id.
        bad: Why an item has no answer, by item id. The next run asks for it again.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)


def find_model(endpoint: Endpoint) -> str:
    """The name of the model that the service will use.

    Raises:
        EvaluationError: the service cannot be reached or is not OpenAI-compatible.
    """

    async def find() -> str:
        async with connect(endpoint) as remote:
            return remote.model

    try:
        return asyncio.run(find())
    except RemoteError as error:
        raise EvaluationError(str(error)) from error


def ask_all(
    endpoint: Endpoint,
    questions: Sequence[Question],
    file: AnswerFile,
    sampling: Sampling,
    concurrency: int,
) -> Asked:
    """Ask the questions that ``file`` has no answer for.

    Raises:
        EvaluationError: the service fails. The answers so far are in the file.
    """
    missing = [question for question in questions if not _has_answer(file, question)]
    asked = Asked()
    try:
        asyncio.run(_ask(endpoint, missing, file, sampling, concurrency, asked))
    except ExceptionGroup as group:
        error = group.exceptions[0]
        if isinstance(error, RemoteError):
            kept = f"{len(file.answers)} answers are in {file.path}: the same command goes on."
            raise EvaluationError(f"{error} {kept}") from error
        raise error from None
    except RemoteError as error:
        raise EvaluationError(str(error)) from error
    asked.answers = {
        question.id: file.answers[question.id]
        for question in questions
        if _has_answer(file, question)
    }
    return asked


def _has_answer(file: AnswerFile, question: Question) -> bool:
    answer = file.answers.get(question.id)
    return answer is not None and answer.asked == question.digest


async def _ask(
    endpoint: Endpoint,
    questions: Sequence[Question],
    file: AnswerFile,
    sampling: Sampling,
    concurrency: int,
    asked: Asked,
) -> None:
    if not questions:
        return
    pause = _TERMINAL_SECONDS if sys.stderr.isatty() else _LOG_SECONDS
    todo = iter(questions)
    async with connect(endpoint) as remote:
        client = _Client(remote, sampling)
        with tqdm(total=len(questions), unit="answer", mininterval=pause) as bar:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(concurrency, len(questions))):
                    workers.create_task(_work(client, todo, file, asked, bar))


async def _work(
    client: "_Client", todo: Iterator[Question], file: AnswerFile, asked: Asked, bar: Any
) -> None:
    for question in todo:
        try:
            file.add(await client.answer(question))
        except RequestRefusedError as error:
            asked.bad[question.id] = str(error)
        except _UnreadableImageError as error:
            asked.bad[question.id] = str(error)
        bar.set_postfix(bad=len(asked.bad), refresh=False)
        bar.update()
        if len(asked.bad) >= _HOPELESS and not file.answers:
            raise EvaluationError(f"No question is answered. {next(iter(asked.bad.values()))}")


class _UnreadableImageError(Exception):
    pass


@dataclass
class _Client:
    """Asks one service.

    Attributes:
        extra: Parameters outside OpenAI's API. The original decodes without a repetition penalty, so
            the folder's default must not apply; a service that refuses the name is asked without it.
    """

    remote: ChatClient
    sampling: Sampling
    extra: dict[str, Any] = field(default_factory=lambda: {"repetition_penalty": 1.0})

    async def answer(self, question: Question) -> Answer:
        """Raises RequestRefusedError, RemoteError or _UnreadableImageError."""
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
        content.append({"type": "image_url", "image_url": {"url": _data_uri(question.image)}})
    content.append({"type": "text", "text": question.prompt})
    return {"role": "user", "content": content}


def _data_uri(image: Path) -> str:
    try:
        data = image.read_bytes()
    except OSError as error:
        raise _UnreadableImageError(f"{image} cannot be read: {error.strerror}.") from error
    kind = mimetypes.guess_type(image.name)[0] or "image/jpeg"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
