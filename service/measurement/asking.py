"""Ask many questions over HTTP, several at a time, and keep each answer as it comes."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from service.chat_client import Endpoint, connect
from service.errors import EvaluationError, RemoteError, RequestRefusedError
from service.measurement.answers import Answer
from service.measurement.images import UnreadableImageError
from service.measurement.questions import Question, QuestionClient, Sampling


class Answers(Protocol):
    """The store of a run's answers: an ``AnswerFile`` or a file like it.

    Attributes:
        path: The file.
        answers: Those that it has, by item id.
    """

    path: Path
    answers: dict[str, Answer]

    def add(self, answer: Answer) -> None:
        """Keep an answer."""


_TERMINAL_SECONDS, _LOG_SECONDS = 0.2, 15.0
"""Pause between two updates of the progress line."""

_HOPELESS = 20
"""Refused items before the first answer that end a run."""


@dataclass
class Asked:
    """The result of a run.

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
    file: Answers,
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


def _has_answer(file: Answers, question: Question) -> bool:
    answer = file.answers.get(question.id)
    return answer is not None and answer.asked == question.digest


async def _ask(
    endpoint: Endpoint,
    questions: Sequence[Question],
    file: Answers,
    sampling: Sampling,
    concurrency: int,
    asked: Asked,
) -> None:
    if not questions:
        return
    pause = _TERMINAL_SECONDS if sys.stderr.isatty() else _LOG_SECONDS
    todo = iter(questions)
    async with connect(endpoint) as remote:
        client = QuestionClient(remote, sampling)
        with tqdm(total=len(questions), unit="answer", mininterval=pause) as bar:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(concurrency, len(questions))):
                    workers.create_task(_work(client, todo, file, asked, bar))


async def _work(
    client: QuestionClient, todo: Iterator[Question], file: Answers, asked: Asked, bar: Any
) -> None:
    for question in todo:
        try:
            file.add(await client.answer(question))
        except (RequestRefusedError, UnreadableImageError) as error:
            asked.bad[question.id] = str(error)
        bar.set_postfix(bad=len(asked.bad), refresh=False)
        bar.update()
        if len(asked.bad) >= _HOPELESS and not file.answers:
            raise EvaluationError(f"No question is answered. {next(iter(asked.bad.values()))}")
