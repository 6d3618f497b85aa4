"""Questions to a running service, a few at a time, through OpenAI's chat completions."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass

from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from service.errors import EvaluationError
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
    url: str, items: Sequence[Question], *, concurrency: int = 8, api_key: str = "none"
) -> list[Answer]:
    """Answers in the order of the questions, decoded greedily.

    Raises:
        EvaluationError: the service cannot be reached or refuses every question.
    """
    return asyncio.run(_ask_all(url, items, concurrency, api_key))


async def _ask_all(
    url: str, items: Sequence[Question], concurrency: int, api_key: str
) -> list[Answer]:
    base = url.rstrip("/")
    base = base if base.endswith("/v1") else f"{base}/v1"
    slots = asyncio.Semaphore(concurrency)
    async with AsyncOpenAI(base_url=base, api_key=api_key, timeout=120) as client:
        try:
            model = (await client.models.list()).data[0].id
        except (APIConnectionError, APIStatusError, IndexError) as error:
            raise EvaluationError(f"No service answers at {base}: {error}") from error

        async def one(item: Question) -> Answer:
            async with slots:
                return await _ask(client, model, item)

        answers = await asyncio.gather(*(one(item) for item in items))
    if items and all(answer.error for answer in answers):
        raise EvaluationError(f"{base} answered no question; the first error: {answers[0].error}")
    return list(answers)


async def _ask(client: AsyncOpenAI, model: str, item: Question) -> Answer:
    content: list[dict[str, object]] = [
        {"type": "image_url", "image_url": {"url": _data_uri(image)}} for image in item.images
    ]
    content.append({"type": "text", "text": item.turn.question})
    try:
        reply = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
            temperature=0,
            max_tokens=MAX_TOKENS,
            extra_body={"repetition_penalty": 1.0},
        )
    except (APIConnectionError, APIStatusError) as error:
        return Answer("", error=str(error))
    choice = reply.choices[0]
    return Answer((choice.message.content or "").strip(), choice.finish_reason == "length")


def _data_uri(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"
