"""Questions to a running service, a few at a time, through OpenAI's chat completions."""

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
    """What came back.

    Attributes:
        text: The answer; empty where the request failed.
        cut: Whether it ended at the longest length.
        error: Why there is no answer.
    """

    text: str
    cut: bool = False
    error: str = ""


def ask_all(
    url: str,
    items: Sequence[Question],
    *,
    concurrency: int = 8,
    api_key: str = "none",
    temperature: float = 0.0,
) -> list[Answer]:
    """Answers in the order of the questions; decoded greedily, or sampled with each question's own seed.

    Raises:
        EvaluationError: the service cannot be reached or refuses every question.
    """
    return asyncio.run(_ask_all(url, items, concurrency, api_key, temperature))


async def _ask_all(
    url: str, items: Sequence[Question], concurrency: int, api_key: str, temperature: float
) -> list[Answer]:
    slots = asyncio.Semaphore(concurrency)
    try:
        async with connect(Endpoint(url, api_key=api_key)) as client:

            async def one(seed: int, item: Question) -> Answer:
                async with slots:
                    return await _ask(client, item, temperature, seed)

            answers = await asyncio.gather(*(one(*numbered) for numbered in enumerate(items)))
    except RemoteError as error:
        raise EvaluationError(str(error)) from error
    if items and all(answer.error for answer in answers):
        raise EvaluationError(f"No question is answered; the first error: {answers[0].error}")
    return list(answers)


async def _ask(client: ChatClient, item: Question, temperature: float, seed: int) -> Answer:
    """The answer to the last turn; the earlier ones stay in the conversation as they were answered."""
    pictures: list[Message] = [
        {"type": "image_url", "image_url": {"url": _data_uri(image)}} for image in item.images
    ]
    messages: list[Message] = []
    try:
        for question in (*item.before, item.turn.question):
            text: Message = {"type": "text", "text": question}
            messages.append({"role": "user", "content": [*pictures, text]})
            reply = await client.ask(
                messages,
                MAX_TOKENS,
                temperature=temperature,
                seed=seed,
                extra_body={"repetition_penalty": 1.0},
            )
            messages.append({"role": "assistant", "content": reply.text})
            pictures = []
    except RemoteError as error:
        return Answer("", error=str(error))
    return Answer(reply.text, reply.truncated)


def _data_uri(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"
