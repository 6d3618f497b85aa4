"""Charts are PNG files, and every value is in them."""

from io import BytesIO

from PIL import Image

from service.measurement.charts import Curve, draw_bars, draw_curves


def size(png: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(png)) as image:
        return image.size


def test_a_curve_is_drawn_whatever_its_length() -> None:
    for length in (0, 1, 2, 500):
        curve = Curve("loss", [(step, 1 / (step + 1)) for step in range(length)])
        assert min(size(draw_curves("Loss", "step", [curve]))) > 300


def test_more_groups_make_a_taller_chart() -> None:
    few = draw_bars(["a", "b"], {"colour": [0.5, None]})
    many = draw_bars(["a", "b"], {name: [0.5, 1.0] for name in ("colour", "shape", "count")})
    assert size(many)[1] > size(few)[1]
    assert few != draw_bars(["a", "b"], {"colour": [0.5, 0.0]})
