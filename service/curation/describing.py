"""The requests of one image: describe it, continue a short description, clean the description up.

Source: Zhu et al. 2023, section 3.2. The instructions to describe, to continue and to clean up are
the paper's.
"""

import asyncio
from pathlib import Path

from service.chat_client import Message, Reply
from service.curation.refusals import RefusalGuard
from service.measurement.images import image_part

SHORTEST = 80
"""A description of fewer tokens is continued once."""

LONGEST = 300
"""Most tokens of one answer of the stage-1 model."""

LONGEST_CLEAN = 2 * (SHORTEST + LONGEST)
"""Most tokens of a cleaned-up description: twice the most of a continued one."""

DESCRIBE = (
    "Describe this image in detail. Give as many details as possible. Say everything you see."
)
CONTINUE = "Continue"

CLEAN_UP = (
    "Fix the error in the given paragraph. Remove any repeating sentences, meaningless characters, "
    "not English sentences, and so on. Remove unnecessary repetition. Rewrite any incomplete "
    "sentences. Return directly the results without explanation. Return directly the input paragraph "
    "if it is already correct without explanation."
)


async def describe(describer: RefusalGuard, file: Path) -> str:
    """Return a detailed description of an image, continued once if it is short.

    Raises:
        UnreadableImageError: the file cannot be read.
        RemoteError: as :meth:`~service.curation.refusals.RefusalGuard.ask`.
    """
    image = await asyncio.to_thread(image_part, file)
    messages: list[Message] = [
        {"role": "user", "content": [image, {"type": "text", "text": DESCRIBE}]}
    ]
    first = await describer.ask(messages, LONGEST)
    if first.tokens >= SHORTEST:
        return first.text
    messages += [
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": CONTINUE},
    ]
    second = await describer.ask(messages, LONGEST)
    return f"{first.text} {second.text}".strip()


async def clean_up(fixer: RefusalGuard, description: str) -> Reply:
    """Return a description without repetition, fragments and stray characters."""
    message: Message = {"role": "user", "content": f"{CLEAN_UP}\n\n{description}"}
    return await fixer.ask([message], LONGEST_CLEAN)
