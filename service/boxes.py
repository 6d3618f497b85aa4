"""Boxes in MiniGPT-v2's answers: their text, their pixels, and a pattern for answers.

A box is ``{<left><top><right><bottom>}``: whole numbers on a grid of 0 to 100 over the width and
the height of the image (Chen et al. 2023, arXiv:2310.09478, section 3.1). ``<p>PHRASE</p>`` before
a box names its object, and ``<delim>`` stands between the boxes of one phrase.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

GRID = 100
"""The largest coordinate."""

MAX_BOXES = 100
"""Boxes that a request may allow in a bounded answer."""

DEFAULT_BOXES = 16
"""Boxes in a bounded answer for a request that names no number."""

PHRASE_CHARACTERS = 80
BETWEEN_CHARACTERS = 200
"""Longest text before a phrase in a bounded answer. Without a bound, a weak model would never come
to a box."""

DELIMITER = "<delim>"
NUMBER = r"(?:100|[1-9]?[0-9])"
BOX = rf"\{{<{NUMBER}><{NUMBER}><{NUMBER}><{NUMBER}>\}}"

_MARK = re.compile(
    r"<p>(?P<phrase>[^{}]*?)</p>"
    r"|\{\s*<\s*(?P<box>\d{1,3}\s*>\s*<\s*\d{1,3}\s*>\s*<\s*\d{1,3}\s*>\s*<\s*\d{1,3})\s*>\s*\}"
)
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Box:
    """One box of an answer.

    Attributes:
        corners: Left, top, right, bottom in pixels of the image as it was sent.
        phrase: The words that the answer gives the box; None where it gives none.
    """

    corners: tuple[float, float, float, float]
    phrase: str | None


def parse_boxes(answer: str, size: tuple[int, int]) -> list[Box]:
    """Find the boxes of an answer, in its order. Text that only resembles a box is left out.

    The two corners may come in any order: they span the same box.

    Args:
        answer: The whole text.
        size: Width and height of the image in pixels.
    """
    return [Box(_to_pixels(numbers, size), phrase) for numbers, phrase in _find(answer)]


def _find(answer: str) -> Iterator[tuple[list[int], str | None]]:
    """Yield the numbers and the phrase of each box."""
    phrase, end = None, 0
    for match in _MARK.finditer(answer):
        if answer[end : match.start()].replace(DELIMITER, "").strip():
            phrase = None  # text between a phrase and a box separates them
        end = match.end()
        if match["box"] is None:
            phrase = match["phrase"].strip() or None
            continue
        numbers = [int(digits) for digits in _DIGITS.findall(match["box"])]
        if max(numbers) <= GRID:
            yield numbers, phrase


def _to_pixels(numbers: list[int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size
    left, right = sorted((numbers[0], numbers[2]))
    top, bottom = sorted((numbers[1], numbers[3]))
    return (
        round(left * width / GRID, 2),
        round(top * height / GRID, 2),
        round(right * width / GRID, 2),
        round(bottom * height / GRID, 2),
    )


def write_pattern(response_format: dict[str, Any]) -> str:
    """Make the regular expression of an answer in the ``boxes`` response format.

    Args:
        response_format: ``{"type": "boxes"}`` with ``max`` (boxes, or phrases) and ``phrases``
            (whether the answer is text with phrases before the boxes).

    Raises:
        ValueError: a field is unknown or out of range; the message is for the client.
    """
    if unknown := response_format.keys() - {"type", "max", "phrases"}:
        raise ValueError(f"The response format `boxes` has no field `{min(map(str, unknown))}`.")
    most, phrases = response_format.get("max", DEFAULT_BOXES), response_format.get("phrases", False)
    if type(most) is not int or not 1 <= most <= MAX_BOXES:
        raise ValueError(f"`max` must be an integer from 1 to {MAX_BOXES}.")
    if type(phrases) is not bool:
        raise ValueError("`phrases` must be true or false.")
    # The first token of most answers begins with a space.
    if not phrases:
        return f" ?{BOX}({DELIMITER}{BOX}){{0,{most - 1}}}"
    phrase = (
        f"<p>[^<>{{}}]{{1,{PHRASE_CHARACTERS}}}</p> ?{BOX}({DELIMITER}{BOX}){{0,{MAX_BOXES - 1}}}"
    )
    between = f"[^<>{{}}]{{0,{BETWEEN_CHARACTERS}}}"
    return f"({between}{phrase}){{1,{most}}}{between}"
