"""Whether an answer is correct, by the words that matter and not by its wording."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from service.scenes.conversations.wording import Turn
from service.scenes.scene import BACKGROUNDS, COLOURS, NUMBERS, SHAPES, SIZES, TEXTS

_YES_NO = ("yes", "no")
_DIRECTIONS = ("left", "right", "above", "below")
_PLACES = ("top", "bottom", "left", "right", "middle")
_NONE = ("nothing", "no", "none")
_IMAGES = ("first", "second", "both")
_ALTERNATIVES = {"colour": COLOURS, "shape": SHAPES, "size": SIZES, "background": BACKGROUNDS}
_WORDS = re.compile(r"[a-z]+|\d+")

_Facts = tuple[str, Counter[tuple[str, ...]]]
"""A background, and how many objects have each place, shape and colour."""


def is_correct(turn: Turn, answer: str) -> bool:
    """Return whether an answer says what is expected, and no other thing of the same kind."""
    expected = turn.expected
    if turn.kind == "json":
        facts = _read_json(answer)
        return facts is not None and facts == _read_json(turn.answer)
    if turn.kind in ("exists", "relation") and expected in _YES_NO:
        return find_yes_or_no(answer) == expected
    # These answers may describe the picture first and conclude after ", so".
    concludes = turn.kind in ("count", "relation", "compare")
    words = _WORDS.findall(answer.lower().rpartition(", so ")[2] if concludes else answer.lower())
    if turn.kind == "count" or (turn.kind == "compare" and expected.isdigit()):
        return _find_number(words) == int(expected)
    if turn.kind == "relation":
        directions = _select(expected.split(), _DIRECTIONS)
        return not find_yes_or_no(answer) and _select(words, _DIRECTIONS) == directions
    if turn.kind == "where":
        return _select(words, _PLACES) == set(expected.split())
    if turn.kind == "written":
        return _is_written_correct(words, expected)
    if turn.kind == "place":
        return _is_place_correct(words, expected)
    default = BACKGROUNDS if expected in BACKGROUNDS else _IMAGES
    return _select(words, _ALTERNATIVES.get(turn.kind, default)) == {expected}


def find_yes_or_no(answer: str) -> str:
    """Return ``yes``, ``no`` or an empty string.

    An answer says yes or no if it begins with the word, ends in ``so yes`` or ``so no``, or begins
    with "there is no".
    """
    verdict = re.search(r"^\s*(yes|no)\b|, so (yes|no)\W*$", answer.lower())
    if verdict:
        return verdict.group(1) or verdict.group(2)
    return "no" if re.match(r"\W*there (is|are)(n't| not| no)\b", answer.lower()) else ""


def _is_written_correct(words: Sequence[str], expected: str) -> bool:
    if expected == "nothing":
        return not _select(words, ("word", "digit")) and bool(_select(words, _NONE))
    return _select(words, TEXTS) == {expected}


def _is_place_correct(words: Sequence[str], expected: str) -> bool:
    if expected == "nothing":
        return bool(_select(words, _NONE)) and not _select(words, (*COLOURS, *SHAPES))
    things = (*SHAPES, *TEXTS) if expected in TEXTS else (*COLOURS, *SHAPES)
    return _select(words, things) == set(expected.split())


def _read_json(answer: str) -> _Facts | None:
    """Read the facts of an answer in JSON; return None if it does not have the expected form."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        content = json.loads(answer)
        objects = [
            tuple(str(item[name]).lower() for name in ("place", "shape", "colour"))
            for item in content["objects"]
        ]
        return str(content["background"]).lower(), Counter(objects)
    return None


def _find_number(words: Sequence[str]) -> int | None:
    for word in words:
        if word.isdigit():
            return int(word)
        if word in NUMBERS:
            return NUMBERS.index(word)
        if word in ("no", "none"):
            return 0
    return None


def _select(words: Sequence[str], alternatives: Sequence[str]) -> set[str]:
    return set(words) & set(alternatives)
