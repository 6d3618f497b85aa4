"""Automatic filters on a curated caption that need neither its image nor a model.

The apologies are the paper's filter: its authors found frequent errors by hand and filtered them by
fixed phrases (section 3.2). The other filters are ours, and a person may overrule each.
"""

import re

from service.text_quality import has_loop, split_sentences

_APOLOGY = re.compile(r"\b(i['\u2019]?m sorry|i apologi[sz]e)\b", re.IGNORECASE)
"""How the paper's phrases begin: "I'm sorry I made a mistake...", "I apologize for that ..."."""

_CHARACTERS_PER_TOKEN = 4
"""Roughly, in English."""


def estimate_tokens(caption: str) -> int:
    """Estimate the number of tokens of a text from its characters.

    The count of the service that wrote it is of another tokenizer, and may include its reasoning.
    """
    return len(caption) // _CHARACTERS_PER_TOKEN


def find_problems(caption: str, *, truncated: bool = False) -> list[str]:
    """Return what is wrong: empty, apology, repetition, stray characters, an unfinished end.

    A short caption is not a problem: in the paper, the length decides only whether a description is
    continued.

    Args:
        caption: The cleaned-up description.
        truncated: Whether it ended at the longest length allowed.
    """
    sentences = split_sentences(caption)
    if not sentences:
        return ["empty"]
    problems: list[str] = []
    if _APOLOGY.search(caption):
        problems.append("an apology")
    if len({sentence.lower() for sentence in sentences}) < len(sentences):
        problems.append("a sentence twice")
    if has_loop(caption):
        problems.append("words in a loop")
    if re.search(r"[^\x20-\x7e\n\u2018-\u201d\u2013\u2014]|#{2,}|<[^>]*>", caption):
        problems.append("stray characters")
    if truncated or not caption.rstrip().endswith((".", "!", "?", '."')):
        problems.append("unfinished")
    return problems
