"""What can be seen of a curated caption without its picture."""

import re

from service.text_quality import has_loop, split_sentences

SHORTEST = 80
"""Tokens of a kept description, at least. In the paper 80 tokens only decide whether to continue."""

_CHARACTERS = 4
"""Of English text, about so many make a token."""


def tokens_of(caption: str) -> int:
    """About how many tokens a text has.

    By its characters: another language model counts with another tokenizer, and its reasoning as well.
    """
    return len(caption) // _CHARACTERS


def problems_of(caption: str, tokens: int, *, cut: bool = False) -> list[str]:
    """What a filter can see: empty, too short, repetition, stray characters, an unfinished end.

    Args:
        caption: The cleaned-up description.
        tokens: How many it has.
        cut: Whether it ended at the longest length allowed.
    """
    found: list[str] = []
    sentences = split_sentences(caption)
    if not sentences:
        return ["empty"]
    if tokens < SHORTEST:
        found.append(f"shorter than {SHORTEST} tokens")
    if len({sentence.lower() for sentence in sentences}) < len(sentences):
        found.append("a sentence twice")
    if has_loop(caption):
        found.append("words in a loop")
    if re.search(r"[^\x20-\x7e\n\u2018-\u201d\u2013\u2014]|#{2,}|<[^>]*>", caption):
        found.append("stray characters")
    if cut or not caption.rstrip().endswith((".", "!", "?", '."')):
        found.append("unfinished")
    return found
