"""Stage-2 data from a stage-1 model, after the paper's section 3.2: describe, continue, clean up, filter.

A stage-1 model writes detailed descriptions; short ones are continued; another language model, given by
the user, cleans them up; what is still bad is marked. A person has the last look at the JSONL.
"""

import asyncio
import base64
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from service.chat_client import Endpoint, Message, Reply, connect
from service.curation.caption_file import Curated, append, images_in, name_of
from service.curation.doubts import Watched
from service.curation.filters import SHORTEST, problems_of, tokens_of
from service.errors import AlignmentError, RemoteError, RequestRefusedError

LONGEST = 300
"""Tokens of one answer of the stage-1 model at most."""

LONGEST_CLEAN = 2 * (SHORTEST + LONGEST)
"""Tokens of a cleaned-up description at most: twice of what a continued one can have."""

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


def curate(
    images: Path,
    out: Path,
    describer: Endpoint,
    fixer: Endpoint,
    *,
    concurrency: int = 4,
) -> tuple[int, int]:
    """Write a line for every image of a folder that ``out`` does not have yet.

    A line is written as soon as its image is finished; after a failure the images in work are still
    finished. An image that a service refuses gets a line that is not kept, once that service has answered
    for another; refusals of one that never answers are its failure.

    Returns:
        Lines written, and how many of them are kept.

    Raises:
        AlignmentError: no images, a service that fails, or an ``out`` of other things or that cannot
            be written.
    """
    done = images_in(out)
    files = sorted(
        file for file in images.rglob("*") if file.suffix.lower() in _IMAGES and file.is_file()
    )
    if not files:
        raise AlignmentError(f"{images} holds no images ({', '.join(_IMAGES)}).")
    left = [file for file in files if name_of(file, out) not in done]
    written: list[Curated] = []
    try:
        asyncio.run(_curate_all(left, out, describer, fixer, concurrency, written))
    except RemoteError as error:
        finished = (
            f" Images finished before: {len(written)}; run again to go on." if written else ""
        )
        raise AlignmentError(f"{error}{finished}") from error
    return len(written), sum(line.keep for line in written)


async def _curate_all(
    files: Iterable[Path],
    out: Path,
    describer: Endpoint,
    fixer: Endpoint,
    concurrency: int,
    written: list[Curated],
) -> None:
    left, doubtful = deque(files), list[Curated]()

    def write(*lines: Curated) -> None:
        for line in lines:
            append(out, line)
            written.append(line)

    async with connect(describer) as first, connect(fixer) as second:
        seeing, writing = Watched(first), Watched(second)

        async def worker() -> None:
            while left:
                try:
                    line, is_refused = await _curate_one(left.popleft(), out, seeing, writing)
                    # Where a service refuses all there is, its refusals say nothing of the images.
                    if is_refused and not (seeing.has_answered and writing.has_answered):
                        doubtful.append(line)
                    else:
                        write(line)
                except BaseException:
                    left.clear()  # the other workers finish what they have begun, and it is written
                    raise

        workers = (worker() for _ in range(concurrency))
        ends = await asyncio.gather(*workers, return_exceptions=True)
        trusted = seeing.has_answered and writing.has_answered
    failures = list(filter(None, ends))
    if trusted or not failures:
        write(*doubtful)
    for failure in failures:
        raise failure


async def _curate_one(
    file: Path, out: Path, seeing: Watched, writing: Watched
) -> tuple[Curated, bool]:
    """The image's line, and whether a service refused it."""
    image, raw = name_of(file, out), ""
    try:
        raw = await _describe(seeing, file)
        clean = await _clean_up(writing, raw) if raw else Reply("")
    except RequestRefusedError as refusal:
        return Curated(image, "", False, [f"refused: {refusal}"], 0, raw), True
    except OSError as error:
        return Curated(image, "", False, [f"cannot be read: {error.strerror}"], 0, raw), False
    tokens = tokens_of(clean.text)
    problems = problems_of(clean.text, tokens, cut=clean.truncated)
    return Curated(image, clean.text, not problems, problems, tokens, raw), False


async def _describe(seeing: Watched, file: Path) -> str:
    """A detailed description, continued once where it is short."""
    kind = file.suffix.lower().lstrip(".").replace("jpg", "jpeg")
    data = base64.b64encode(await asyncio.to_thread(file.read_bytes)).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}}
    messages: list[Message] = [
        {"role": "user", "content": [picture, {"type": "text", "text": DESCRIBE}]}
    ]
    first = await seeing.ask(messages, LONGEST)
    if first.tokens >= SHORTEST:
        return first.text
    messages += [
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": CONTINUE},
    ]
    return f"{first.text} {(await seeing.ask(messages, LONGEST)).text}".strip()


async def _clean_up(writing: Watched, raw: str) -> Reply:
    return await writing.ask(
        [{"role": "user", "content": f"{CLEAN_UP}\n\n{raw}"}],
        LONGEST_CLEAN,
    )
