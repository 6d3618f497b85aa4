"""Charts are PNG files that change with their values."""

from io import BytesIO

import pytest
from PIL import Image

from service.charts import Interval, draw_bars, draw_curve, draw_intervals


def read_size(png: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(png)) as image:
        return image.size


@pytest.mark.parametrize("length", [0, 1, 2, 500])
def test_a_curve_of_any_length_is_drawn(length: int) -> None:
    points = [(step, 1 / (step + 1)) for step in range(length)]
    assert min(read_size(draw_curve("Loss", "step", "loss", points))) > 300


def test_more_groups_make_a_taller_chart() -> None:
    few = draw_bars("Title", ["a", "b"], {"colour": [0.5, None]})
    many = draw_bars(
        "Title", ["a", "b"], {name: [0.5, 1.0] for name in ("colour", "shape", "count")}
    )
    assert read_size(many)[1] > read_size(few)[1]


def test_a_share_of_zero_differs_from_one_that_was_not_measured() -> None:
    assert draw_bars("Title", ["a"], {"colour": [None]}) != draw_bars(
        "Title", ["a"], {"colour": [0.0]}
    )


def test_every_one_of_many_series_is_drawn() -> None:
    labels = [f"model {number}" for number in range(12)]
    shares: list[float | None] = [0.5] * 12
    last_differs = [*shares[:-1], 0.25]
    assert draw_bars("Title", labels, {"colour": shares}) != draw_bars(
        "Title", labels, {"colour": last_differs}
    )


def test_intervals_of_different_units_have_a_panel_each() -> None:
    score = Interval("accuracy", 50, 40, 60)
    one = draw_intervals("Scores", {"%": [score]})
    two = draw_intervals("Scores", {"%": [score], "points": [Interval("CIDEr", 1.1, 1.0, 1.3)]})
    assert read_size(two)[1] > read_size(one)[1]
