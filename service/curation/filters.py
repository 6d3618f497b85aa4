"""Automatic filters on a curated caption that need neither its image nor a model.

They are ours: the paper's authors checked every description by hand and filtered frequent errors
with rules that they do not list (section 3.2).
"""

import re

from service.text_quality import has_loop, split_sentences

SHORTEST = 80
"""Fewest tokens of a description.

In the paper this number decides whether a description is continued. Here it is also a filter on the
cleaned-up caption.
"""

_CHARACTERS_PER_TOKEN = 4
"""Roughly, in English."""


def estimate_tokens(caption: str) -> int:
    """Estimate the number of tokens of a text from its characters.

    The count of the service that wrote it is of another tokenizer, and may include its reasoning.
    """
    return len(caption) // _CHARACTERS_PER_TOKEN


def find_problems(caption: str, tokens: int, *, truncated: bool = False) -> list[str]:
    """Return what is wrong: empty, too short, repetition, stray characters, an unfinished end.

    Args:
        caption: The cleaned-up description.
        tokens: Its number of tokens.
        truncated: Whether it ended at the longest length allowed.
    """
    sentences = split_sentences(caption)
    if not sentences:
        return ["empty"]
    problems: list[str] = []
    if tokens < SHORTEST:
        problems.append(f"shorter than {SHORTEST} tokens")
    if len({sentence.lower() for sentence in sentences}) < len(sentences):
        problems.append("a sentence twice")
    if has_loop(caption):
        problems.append("words in a loop")
    if re.search(r"[^\x20-\x7e\n\u2018-\u201d\u2013\u2014]|#{2,}|<[^>]*>", caption):
        problems.append("stray characters")
    if truncated or not caption.rstrip().endswith((".", "!", "?", '."')):
        problems.append("unfinished")
    return problems
