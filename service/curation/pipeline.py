"""Curate a folder of images, several at a time.

A stage-1 model describes each image, another language model cleans the description up, and filters
mark what is still bad. A person then looks through the JSONL.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from service.chat_client import Endpoint, Reply, connect
from service.curation.caption_file import (
    CuratedCaption,
    append_caption,
    name_image,
    read_images,
)
from service.curation.describing import clean_up, describe
from service.curation.filters import estimate_tokens, find_problems
from service.curation.refusals import RefusalGuard
from service.errors import AlignmentError, RemoteError, RequestRefusedError
from service.measurement.images import ENDINGS, UnreadableImageError, find_images

_LOG_SECONDS = 15.0
"""Pause between two lines of progress where the output is not a terminal."""


def curate(
    images: Path,
    out: Path,
    describer: Endpoint,
    fixer: Endpoint,
    *,
    concurrency: int = 4,
    show_progress: bool = False,
) -> tuple[int, int]:
    """Write a line for every image of a folder that has no line in ``out`` yet.

    A line is written as soon as its image is finished. After a failure, the images in work are
    still finished. An image that a service refuses gets a line that is not kept, once that service
    has answered for another image. If a service refuses the first requests and answers none, that
    is its failure.

    Returns:
        Number of lines written, and how many of them are kept.

    Raises:
        AlignmentError: there are no images, a service fails, or ``out`` holds something else or
            cannot be written.
    """
    done = read_images(out)
    files = find_images(images)
    if not files:
        raise AlignmentError(f"{images} holds no images ({', '.join(sorted(ENDINGS))}).")
    left = [file for file in files if name_image(file, out) not in done]
    written: list[CuratedCaption] = []
    try:
        with _make_bar(len(done), len(left), shown=show_progress) as bar:
            asyncio.run(_curate_all(left, out, describer, fixer, concurrency, written, bar))
    except RemoteError as error:
        finished = (
            f" Images finished before: {len(written)}; run again to go on." if written else ""
        )
        raise AlignmentError(f"{error}{finished}") from error
    return len(written), sum(line.keep for line in written)


def _make_bar(done: int, left: int, *, shown: bool) -> "tqdm[None]":
    pause = 0.1 if sys.stderr.isatty() else _LOG_SECONDS
    return tqdm(total=done + left, initial=done, unit="image", mininterval=pause, disable=not shown)


async def _curate_all(
    files: Iterable[Path],
    out: Path,
    describer: Endpoint,
    fixer: Endpoint,
    concurrency: int,
    written: list[CuratedCaption],
    bar: "tqdm[None]",
) -> None:
    left, refused = deque(files), list[CuratedCaption]()

    def write(*lines: CuratedCaption) -> None:
        for line in lines:
            append_caption(out, line)
            written.append(line)

    async with connect(describer) as first, connect(fixer) as second:
        guards = RefusalGuard(first), RefusalGuard(second)

        def have_answered() -> bool:
            return all(guard.has_answered for guard in guards)

        async def work() -> None:
            while left:
                try:
                    line, is_refused = await _curate_one(left.popleft(), out, *guards)
                    # A service that refuses every request says nothing about the images.
                    if is_refused and not have_answered():
                        refused.append(line)
                    else:
                        write(line)
                    bar.update()
                except BaseException:
                    left.clear()  # the other workers finish the images that they have begun
                    raise

        workers = (work() for _ in range(concurrency))
        results = await asyncio.gather(*workers, return_exceptions=True)
    failures = [result for result in results if result is not None]
    if have_answered() or not failures:
        write(*refused)
    for failure in failures:
        raise failure


async def _curate_one(
    file: Path, out: Path, describer: RefusalGuard, fixer: RefusalGuard
) -> tuple[CuratedCaption, bool]:
    """Return the image's line, and whether a service refused the image."""
    image, raw = name_image(file, out), ""
    try:
        raw = await describe(describer, file)
        clean = await clean_up(fixer, raw) if raw else Reply("")
    except RequestRefusedError as refusal:
        return CuratedCaption(image, "", False, [f"refused: {refusal}"], 0, raw), True
    except UnreadableImageError as error:
        problem = f"cannot be read: {error.reason}"
        return CuratedCaption(image, "", False, [problem], 0, raw), False
    tokens = estimate_tokens(clean.text)
    problems = find_problems(clean.text, truncated=clean.truncated)
    return CuratedCaption(image, clean.text, not problems, problems, tokens, raw), False
