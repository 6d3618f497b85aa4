"""Random crops: within the image, as large and as slanted as the original's code drew them."""

import random

from service.training.crops import random_crop


def crops(
    width: int, height: int, least: float, number: int = 2000
) -> list[tuple[int, int, int, int]]:
    rng = random.Random(0)
    return [random_crop(width, height, least, rng) for _ in range(number)]


def test_crops_lie_within_the_image_and_have_the_area_and_aspect_asked_for() -> None:
    shares, aspects = [], []
    for left, top, right, bottom in crops(400, 300, 0.5):
        assert 0 <= left < right <= 400
        assert 0 <= top < bottom <= 300
        shares.append((right - left) * (bottom - top) / (400 * 300))
        aspects.append((right - left) / (bottom - top))
    assert 0.49 < min(shares) < 0.52
    assert 0.95 < max(shares) <= 1
    assert 0.74 < min(aspects) < 0.8
    assert 1.3 < max(aspects) < 1.35


def test_crops_are_anywhere() -> None:
    lefts = [left for left, *_ in crops(400, 300, 0.5)]
    rights = [right for _, _, right, _ in crops(400, 300, 0.5)]
    assert min(lefts) == 0
    assert max(rights) == 400


def test_a_narrow_image_gives_its_middle() -> None:
    assert set(crops(1000, 10, 0.9, 20)) == {(493, 0, 506, 10)}
    assert set(crops(10, 1000, 0.9, 20)) == {(0, 493, 10, 506)}


def test_one_pixel_is_enough() -> None:
    assert set(crops(1, 1, 0.5, 20)) == {(0, 0, 1, 1)}
