"""Is an answer true? Compared by the words that matter, so that the usual wordings of the truth count."""

import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from service.scenes.conversations.wording import PLURALS, Turn
from service.scenes.scene import (
    BACKGROUNDS,
    COLOURS,
    NUMBERS,
    SHAPES,
    SIZES,
    TEXTS,
    Scene,
)

_YES_NO = ("yes", "no")
_WAYS = ("left", "right", "above", "below")
_PLACES = ("top", "bottom", "left", "right", "middle")
_NONE = ("nothing", "no", "none")
_WORDS = re.compile(r"[a-z]+|\d+")
_VERB = re.compile(
    r"\b(is|are|was|were|has|have|shows?|sees?|sits?|lies?|stands?|contains?|appears?|hangs?|rests?|fills?|"
    r"holds?|features?|depicts?|displays?|includes?|there's|it's|looks?|says?|reads?)\b"
)


def is_right(turn: Turn, answer: str) -> bool:
    """Whether an answer says what is expected, and nothing of the same sort besides."""
    words = _WORDS.findall(answer.lower())
    expected = turn.expected
    if turn.kind == "json":
        return _listed(answer) is not None and _listed(answer) == _listed(turn.answer)
    if turn.kind in ("count", "relation", "compare"):
        # What was looked at may come first; the answer is what follows from it.
        words = _WORDS.findall(answer.lower().rpartition(", so ")[2])
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
        things = (*SHAPES, *TEXTS) if expected in TEXTS else (*COLOURS, *SHAPES)
        return _among(words, things) == set(expected.split())
    if turn.kind == "background" or expected in BACKGROUNDS:
        return _among(words, BACKGROUNDS) == {expected}
    return _among(words, ("first", "second", "both")) == {expected}


def said_yes_or_no(answer: str) -> str:
    """``yes``, ``no`` or an empty string.

    An answer says yes or no where it begins with the word, ends in ``so yes``, or says that there is none.
    """
    verdict = re.search(r"^\s*(yes|no)\b|, so (yes|no)\W*$", answer.lower())
    if verdict:
        return verdict.group(1) or verdict.group(2)
    return "no" if re.match(r"\W*there (is|are)(n't| not| no)\b", answer.lower()) else ""


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
    """Objects that a text names, as ``colour kind`` or ``colour text``, with how often.

    It reads *a red star*, *three red stars*, *a star that is red*, *the word "stop" in red*.
    """
    lower = text.lower()
    colours, shapes = "|".join(COLOURS), "|".join((*PLURALS.values(), *PLURALS))
    found: Counter[str] = Counter()
    sizes, numbers = "|".join(SIZES), "|".join(("no", *NUMBERS, r"\d+"))
    before = rf"\b(?:({numbers})\s+)?(?:(?:{sizes})\s+)?({colours})\s+({shapes})\b"
    for number, colour, shape in re.findall(before, lower):
        found[_key(_ONE.get(shape, shape), "", colour)] += _how_many(number, shape)
    after = rf"\b({shapes})\s+(?:(?:that|which)\s+(?:is|are)|in)\s+({colours})\b"
    for shape, colour in re.findall(after, lower):
        found[_key(_ONE.get(shape, shape), "", colour)] += _how_many("", shape)
    written = re.findall(rf'word "(\w+)" in ({colours})|digit (\d) in ({colours})', lower)
    for word, word_colour, digit, digit_colour in written:
        found[_key("", word or digit, word_colour or digit_colour)] += 1
    return found


_ONE = {many: one for one, many in PLURALS.items()}


def _how_many(number: str, shape: str) -> int:
    """Of a plural without a number, two: it is at least that."""
    if number == "no":
        return 0
    if shape not in _ONE:
        return 1
    return int(number) if number.isdigit() else NUMBERS.index(number) if number else 2


def _listed(answer: str) -> tuple[str, Counter[tuple[str, ...]]] | None:
    """Background, and place, shape and colour of each object, of an answer in JSON; None if it is none."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        shown = json.loads(answer)
        things = [
            tuple(str(item[name]).lower() for name in ("place", "shape", "colour"))
            for item in shown["objects"]
        ]
        return str(shown["background"]).lower(), Counter(things)
    return None


def _key(kind: str, text: str, colour: str) -> str:
    return f"{colour} {text or kind}"


def _is_fragment(sentence: str) -> bool:
    words = sentence.split()
    return len(words) < 3 or not _VERB.search(sentence.lower())


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
