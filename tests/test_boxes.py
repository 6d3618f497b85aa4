"""Boxes in answers: from text to pixels and back, and the pattern that bounds an answer."""

import re
from typing import Any

import pytest

from service.boxes import GRID, parse_boxes, write_pattern

SQUARE = (100, 100)


def corners(answer: str, size: tuple[int, int] = SQUARE) -> list[tuple[float, ...]]:
    return [box.corners for box in parse_boxes(answer, size)]


def phrases(answer: str) -> list[str | None]:
    return [box.phrase for box in parse_boxes(answer, SQUARE)]


@pytest.mark.parametrize("size", [(1, 1), (3, 997), (1023, 17), (4000, 3001), (7919, 1)], ids=str)
def test_a_box_survives_the_way_to_pixels_and_back(size: tuple[int, int]) -> None:
    width, height = size
    for low, high in [(0, GRID), (1, 2), (33, 67), (99, GRID), (50, 50)]:
        (left, top, right, bottom) = corners(f"{{<{low}><{low}><{high}><{high}>}}", size)[0]
        assert 0 <= left <= right <= width
        assert 0 <= top <= bottom <= height
        back = [
            round(number * GRID / side)
            for number, side in ((left, width), (top, height), (right, width), (bottom, height))
        ]
        assert back == [low, low, high, high]


def test_width_and_height_are_not_mixed_up() -> None:
    assert corners("{<10><20><30><40>}", (1000, 50)) == [(100, 10, 300, 20)]


def test_a_phrase_belongs_to_the_boxes_after_it() -> None:
    answer = (
        "<p>two dogs</p> {<1><2><3><4>}<delim>{<5><6><7><8>} play near <p> a ball </p>{<9><9><10><10>}"
        ", and {<0><0><1><1>}"
    )
    assert phrases(answer) == ["two dogs", "two dogs", "a ball", None]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "There is none.",
        "{<1><2><3>}",
        "{<1><2><3><4>",
        "{<1><2><3><101>}",
        "{<1><2><3><999>}",
        "{<1.5><2><3><4>}",
        "{<-1><2><3><4>}",
        "{<1><2><3><4><5>}",
        "<p>dog</p>",
    ],
)
def test_text_that_only_resembles_a_box_is_left_out(answer: str) -> None:
    assert corners(answer) == []


def test_corners_in_another_order_span_the_same_box() -> None:
    assert corners("{<30><40><10><20>}") == corners("{<10><20><30><40>}") == [(10, 20, 30, 40)]


def test_spaces_inside_a_box_do_not_matter() -> None:
    assert corners("{ <10> <20> <30> <40> }") == [(10, 20, 30, 40)]


BOX = "{<0><9><10><100>}"


@pytest.mark.parametrize(
    ("options", "answer", "fits"),
    [
        ({}, BOX, True),
        ({}, f" {BOX}<delim>{BOX}", True),
        ({}, BOX.replace("9", "101"), False),
        ({}, BOX.replace("9", "09"), False),
        ({}, f"A dog {BOX}", False),
        ({"max": 1}, f"{BOX}<delim>{BOX}", False),
        ({"phrases": True}, f"A <p>dog</p> {BOX}<delim>{BOX} and <p>a cat</p> {BOX}.", True),
        ({"phrases": True}, BOX, False),
        ({"phrases": True, "max": 1}, f"<p>a</p> {BOX}<p>b</p> {BOX}", False),
    ],
    ids=str,
)
def test_the_pattern_allows_valid_boxes_only(
    options: dict[str, Any], answer: str, fits: bool
) -> None:
    pattern = write_pattern({"type": "boxes", **options})
    assert bool(re.fullmatch(pattern, answer)) == fits
    if fits:
        assert len(corners(answer)) == answer.count("{")
