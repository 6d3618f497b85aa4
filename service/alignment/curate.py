"""Stage-2 data from a stage-1 model, as in the paper's section 3.2: describe, continue, clean up, filter.

A stage-1 model writes detailed descriptions; short ones are continued; another language model, given by
the user, cleans them up; what is still bad is marked. A person has the last look at the JSONL.
"""

import asyncio
import base64
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from service.errors import AlignmentError

SHORTEST = 80
"""Tokens below which a description is continued."""

LONGEST = 300
"""Tokens of one request's answer at most."""

DESCRIBE = (
    "Describe this image in detail. Give as many details as possible. Say everything you see."
)
CONTINUE = "Continue"

CLEAN_UP = (
    "Below is a description of a picture. Correct it by two rules. First: take out what is repeated, "
    "broken fragments, stray characters and whatever is not English. Second: write the rest as one "
    "fluent description, completing or dropping unfinished sentences; add no facts. Answer with the "
    "description alone. If it needs no correction, answer with it unchanged."
)
"""The paper's two clean-up rules in this project's words."""

_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


@dataclass(frozen=True)
class Curated:
    """One line of the result.

    Attributes:
        image: Path relative to the JSONL's folder.
        caption: The cleaned-up description.
        keep: Whether the filters found nothing; a person may change it. ``align`` reads only kept lines.
        problems: What the filters found.
        tokens: Tokens of the raw description.
        raw: The description before the clean-up.
    """

    image: str
    caption: str
    keep: bool
    problems: list[str]
    tokens: int
    raw: str


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible service; ``model`` may be empty where it serves only one."""

    url: str
    model: str = ""
    api_key: str = "none"


def curate(
    images: Path,
    out: Path,
    describer: Endpoint,
    fixer: Endpoint,
    *,
    concurrency: int = 4,
) -> tuple[int, int]:
    """Write a line for every image of a folder that ``out`` does not have yet.

    Returns:
        Lines written, and how many of them are kept.

    Raises:
        AlignmentError: no images, a service that cannot be reached, or a file that cannot be written.
    """
    done = _already(out)
    files = sorted(file for file in images.rglob("*") if file.suffix.lower() in _IMAGES)
    if not files:
        raise AlignmentError(f"{images} holds no images ({', '.join(_IMAGES)}).")
    left = [file for file in files if _name(file, out) not in done]
    return asyncio.run(_curate_all(left, out, describer, fixer, concurrency))


def problems_of(caption: str, raw_tokens: int) -> list[str]:
    """What a filter can see: empty, too short, repetition, stray characters, an unfinished end."""
    found: list[str] = []
    sentences = [part.strip() for part in re.split(r"(?<=[.!?])\s+", caption) if part.strip()]
    if not sentences:
        return ["empty"]
    if raw_tokens < SHORTEST:
        found.append(f"shorter than {SHORTEST} tokens")
    if len({sentence.lower() for sentence in sentences}) < len(sentences):
        found.append("a sentence twice")
    if re.search(r"\b(\w+(?:\W+\w+){0,7})\W+\1\W+\1\b", caption):
        found.append("words in a loop")
    if re.search(r"[^\x20-\x7e\n\u2018-\u201d\u2013\u2014]|#{2,}|<[^>]*>", caption):
        found.append("stray characters")
    if not caption.rstrip().endswith((".", "!", "?", '."')):
        found.append("unfinished")
    return found


async def _curate_all(
    files: Sequence[Path], out: Path, describer: Endpoint, fixer: Endpoint, concurrency: int
) -> tuple[int, int]:
    slots, written, kept = asyncio.Semaphore(concurrency), 0, 0
    async with _client(describer) as seeing, _client(fixer) as writing:
        seeing_model = await _model(seeing, describer)
        writing_model = await _model(writing, fixer)

        async def one(file: Path) -> Curated:
            async with slots:
                raw, tokens = await _describe(seeing, seeing_model, file)
                caption = await _clean_up(writing, writing_model, raw) if raw else ""
                problems = problems_of(caption, tokens)
                return Curated(_name(file, out), caption, not problems, problems, tokens, raw)

        tasks = [asyncio.ensure_future(one(file)) for file in files]
        try:
            for task in asyncio.as_completed(tasks):
                line = await task
                _append(out, line)
                written, kept = written + 1, kept + line.keep
        except (APIConnectionError, APIStatusError) as error:
            raise AlignmentError(
                f"A service failed after {written} images: {error}. Run again to go on from there."
            ) from error
        finally:
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
    return written, kept


async def _describe(client: AsyncOpenAI, model: str, file: Path) -> tuple[str, int]:
    """A detailed description and its tokens, continued once where it is short."""
    kind = file.suffix.lower().lstrip(".").replace("jpg", "jpeg")
    data = base64.b64encode(await asyncio.to_thread(file.read_bytes)).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}}
    messages: list[dict[str, object]] = [
        {"role": "user", "content": [picture, {"type": "text", "text": DESCRIBE}]}
    ]
    text, tokens = await _complete(client, model, messages)
    if tokens < SHORTEST:
        messages += [
            {"role": "assistant", "content": text},
            {"role": "user", "content": CONTINUE},
        ]
        more, further = await _complete(client, model, messages)
        text, tokens = f"{text} {more}".strip(), tokens + further
    return text, tokens


async def _clean_up(client: AsyncOpenAI, model: str, raw: str) -> str:
    messages: list[dict[str, object]] = [{"role": "user", "content": f"{CLEAN_UP}\n\n{raw}"}]
    return (await _complete(client, model, messages))[0]


async def _complete(
    client: AsyncOpenAI, model: str, messages: list[dict[str, object]]
) -> tuple[str, int]:
    reply = await client.chat.completions.create(
        model=model,
        messages=messages,  # type: ignore[arg-type]
        max_tokens=LONGEST,
    )
    tokens = reply.usage.completion_tokens if reply.usage else 0
    return (reply.choices[0].message.content or "").strip(), tokens


def _client(endpoint: Endpoint) -> AsyncOpenAI:
    base = endpoint.url.rstrip("/")
    base = base if base.endswith("/v1") else f"{base}/v1"
    return AsyncOpenAI(base_url=base, api_key=endpoint.api_key, timeout=120)


async def _model(client: AsyncOpenAI, endpoint: Endpoint) -> str:
    if endpoint.model:
        return endpoint.model
    try:
        return (await client.models.list()).data[0].id
    except (APIConnectionError, APIStatusError, IndexError) as error:
        raise AlignmentError(f"No service answers at {endpoint.url}: {error}") from error


def _already(out: Path) -> set[str]:
    """Images that ``out`` has a line for."""
    if not out.exists():
        return set()
    images: set[str] = set()
    for number, line in enumerate(out.read_text("utf-8").splitlines(), start=1):
        try:
            images.add(json.loads(line)["image"])
        except (ValueError, KeyError, TypeError) as error:
            raise AlignmentError(
                f"{out}:{number}: no line of curated data; mend or remove it, then run again."
            ) from error
    return images


def _append(out: Path, line: Curated) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
    except OSError as error:
        raise AlignmentError(f"{out} cannot be written: {error.strerror}.") from error


def _name(file: Path, out: Path) -> str:
    """The image's path as the JSONL names it: relative to the JSONL's folder where that works."""
    try:
        return str(file.resolve().relative_to(out.resolve().parent))
    except ValueError:
        return str(file.resolve())
