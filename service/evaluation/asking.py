"""Send the questions to a running service, several at a time, as OpenAI chat completions."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass

from service.chat_client import ChatClient, Endpoint, Message, connect
from service.errors import EvaluationError, RemoteError
from service.evaluation.questions import Question

MAX_TOKENS = 300


@dataclass(frozen=True)
class Answer:
    """The result of one request.

    Attributes:
        text: The answer; empty if the request failed.
        truncated: Whether it ended because it reached the maximum length.
        error: The reason why there is no answer.
    """

    text: str
    truncated: bool = False
    error: str = ""


def ask_all(
    url: str,
    questions: Sequence[Question],
    *,
    concurrency: int = 8,
    api_key: str = "none",
    temperature: float = 0.0,
) -> list[Answer]:
    """Return the answers in the order of the questions.

    At temperature 0 the service decodes greedily. Above, each question has a seed of its own.

    Raises:
        EvaluationError: the service cannot be reached or refuses every question.
    """
    return asyncio.run(_ask_all(url, questions, concurrency, api_key, temperature))


async def _ask_all(
    url: str, questions: Sequence[Question], concurrency: int, api_key: str, temperature: float
) -> list[Answer]:
    semaphore = asyncio.Semaphore(concurrency)
    try:
        async with connect(Endpoint(url, api_key=api_key)) as client:

            async def ask(seed: int, question: Question) -> Answer:
                async with semaphore:
                    return await _ask(client, question, temperature, seed)

            answers = await asyncio.gather(*(ask(*numbered) for numbered in enumerate(questions)))
    except RemoteError as error:
        raise EvaluationError(str(error)) from error
    if questions and all(answer.error for answer in answers):
        raise EvaluationError(f"No question was answered; the first error: {answers[0].error}")
    return list(answers)


async def _ask(client: ChatClient, question: Question, temperature: float, seed: int) -> Answer:
    """Ask all turns of a question in one conversation; return the answer to the last one."""
    images: list[Message] = [
        {"type": "image_url", "image_url": {"url": _encode_data_uri(image)}}
        for image in question.images
    ]
    messages: list[Message] = []
    try:
        for text in (*question.before, question.turn.question):
            messages.append({"role": "user", "content": [*images, {"type": "text", "text": text}]})
            reply = await client.ask(
                messages,
                MAX_TOKENS,
                temperature=temperature,
                seed=seed,
                extra_body={"repetition_penalty": 1.0},
            )
            messages.append({"role": "assistant", "content": reply.text})
            images = []  # the first turn has shown them
    except RemoteError as error:
        return Answer("", error=str(error))
    return Answer(reply.text, reply.truncated)


def _encode_data_uri(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"
