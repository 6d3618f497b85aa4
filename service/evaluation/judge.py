"""Is an answer true? Compared by the words that matter, so that any wording of the truth counts."""

import re
from collections import Counter
from dataclasses import dataclass

from service.demo.conversations import Turn
from service.demo.scenes import BACKGROUNDS, COLOURS, NUMBERS, SHAPES, SIZES, TEXTS, Scene

_YES_NO = ("yes", "no")
_WAYS = ("left", "right", "above", "below")
_PLACES = ("top", "bottom", "left", "right", "middle")
_NONE = ("nothing", "no", "none")


def is_right(turn: Turn, answer: str) -> bool:
    """Whether an answer says what is expected, and nothing of the same sort besides."""
    words = re.findall(r"[a-z]+|\d", answer.lower())
    expected = turn.expected
    if turn.kind in ("count", "relation", "compare"):
        # What was looked at may come first; the answer is what follows from it.
        words = re.findall(r"[a-z]+|\d", answer.lower().rpartition(", so ")[2])
    if turn.kind == "count" or (turn.kind == "compare" and expected.isdigit()):
        return _first_number(words) == int(expected)
    if expected in _YES_NO and turn.kind in ("exists", "relation"):
        return said_yes_or_no(answer) == expected
    if turn.kind == "colour":
        return _among(words, COLOURS) == {expected}
    if turn.kind == "shape":
        return _among(words, SHAPES) == {expected}
    if turn.kind == "size":
        return _among(words, SIZES) == {expected}
    if turn.kind == "relation" and said_yes_or_no(answer):
        return False
    if turn.kind == "relation":
        return _among(words, _WAYS) == _among(expected.split(), _WAYS)
    if turn.kind == "where":
        return _among(words, _PLACES) == set(expected.split())
    if turn.kind == "written":
        if expected == "nothing":
            return not _among(words, ("word", "digit")) and bool(_among(words, _NONE))
        return _among(words, TEXTS) == {expected}
    if turn.kind == "place":
        if expected == "nothing":
            return bool(_among(words, _NONE)) and not _among(words, (*COLOURS, *SHAPES))
        return set(expected.split()) <= set(words)
    if turn.kind == "background" or expected in BACKGROUNDS:
        return _among(words, BACKGROUNDS) == {expected}
    return _among(words, ("first", "second", "both")) == {expected}


def said_yes_or_no(answer: str) -> str:
    """``yes`` or ``no`` where an answer begins with one or ends in ``so yes``, else an empty string."""
    verdict = re.search(r"^\s*(yes|no)\b|, so (yes|no)\W*$", answer.lower())
    return (verdict.group(1) or verdict.group(2)) if verdict else ""


@dataclass(frozen=True)
class DescriptionVerdict:
    """What is wrong with a detailed description or a poem.

    Attributes:
        repeated: A sentence or line twice, or a run of words three times.
        fragment: A sentence without a verb, or one of a word or two.
        unfinished: Cut off, or without a full stop at its end.
        mentioned: Objects that the text names.
        hallucinated: Those that the scene does not have (colour and kind), counted.
        missed: Objects of the scene that the text does not name.
    """

    repeated: bool
    fragment: bool
    unfinished: bool
    mentioned: int
    hallucinated: int
    missed: int

    @property
    def failed(self) -> bool:
        """Failed as the paper's ablation counts it: repetition, fragments, or unfinished."""
        return self.repeated or self.fragment or self.unfinished


def judge_text(scene: Scene, text: str, *, cut: bool, poem: bool = False) -> DescriptionVerdict:
    """Judge a description or poem.

    Args:
        cut: Whether the answer ended because its longest length was reached.
    """
    text = text.strip()
    parts = [part.strip() for part in re.split(r"\n+" if poem else r"(?<=[.!?])\s+", text)]
    parts = [part for part in parts if part]
    ended = text.endswith((".", "!", "?", '."'))
    shown = Counter(_key(item.kind, item.text, item.colour) for item in scene.objects)
    named = mentions(text)
    if poem:
        # A poem may well come back to what it sang of.
        named = Counter(dict.fromkeys(named, 1))
    return DescriptionVerdict(
        repeated=len(set(parts)) < len(parts) or _runs(text),
        fragment=not parts or (not poem and any(_is_fragment(part) for part in parts)),
        unfinished=cut or not ended or (poem and len(parts) < 2),
        mentioned=named.total(),
        hallucinated=(named - shown).total(),
        missed=0 if poem else (shown - named).total(),
    )


def mentions(text: str) -> Counter[str]:
    """Objects that a text names, as ``colour kind`` or ``colour text``, with how often."""
    lower = text.lower()
    shapes, colours = "|".join(SHAPES), "|".join(COLOURS)
    found = Counter(
        _key(kind, "", colour)
        for colour, kind in re.findall(rf"\b({colours})\s+({shapes})\b", lower)
    )
    written = re.findall(rf'word "(\w+)" in ({colours})|digit (\d) in ({colours})', lower)
    for word, word_colour, digit, digit_colour in written:
        found[_key("", word or digit, word_colour or digit_colour)] += 1
    return found


def _key(kind: str, text: str, colour: str) -> str:
    return f"{colour} {text or kind}"


def _is_fragment(sentence: str) -> bool:
    words = sentence.split()
    verbs = {"is", "are", "has", "shows", "show", "see", "stands", "have", "contains"}
    return len(words) < 3 or not verbs & {word.lower().strip(".,") for word in words}


def _runs(text: str) -> bool:
    """Whether one to eight words come three times in a row."""
    return bool(re.search(r"\b(\w+(?:\W+\w+){0,7})\W+\1\W+\1\b", text))


def _first_number(words: list[str]) -> int | None:
    for word in words:
        if word.isdigit():
            return int(word)
        if word in NUMBERS:
            return NUMBERS.index(word)
        if word in ("no", "none"):
            return 0
    return None


def _among(words: list[str], wanted: tuple[str, ...]) -> set[str]:
    return set(words) & set(wanted)
