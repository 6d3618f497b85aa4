"""From a free answer to one of a question's choices.

The published scorers need a choice: A-OKVQA's ``remap_predictions.py`` takes the choice with the
nearest GloVe embedding, and MiniGPT-v2 ranks IconQA's choices by their loss. A chat completion
gives neither, so the rules here compare text only.
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher


def choose(answer: str, choices: Sequence[str]) -> int:
    """The index of the choice that an answer means.

    That is the choice that equals the answer, else the longest one that the answer contains as
    whole words, else the one with the most similar spelling. Case and punctuation do not count.
    """
    said, known = _words(answer), [_words(choice) for choice in choices]
    if said in known:
        return known.index(said)
    inside = [choice for choice in known if choice and f" {choice} " in f" {said} "]
    if inside:
        return known.index(max(inside, key=len))
    alike = [SequenceMatcher(None, said, choice).ratio() for choice in known]
    return alike.index(max(alike))


def ask_to_choose(question: str, choices: Sequence[str]) -> str:
    """The question with its choices, for the place of ``{}`` in a prompt."""
    return f"{question} Choose one of: {', '.join(choices)}."


def _words(text: str) -> str:
    return " ".join(re.findall(r"[\w.]*\w", text.lower()))
