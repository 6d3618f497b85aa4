"""Random crops lie in the image and have the original code's sizes and aspect ratios."""

import random

from service.training.crops import random_crop


def draw_crops(
    width: int, height: int, smallest: float, number: int = 2000
) -> list[tuple[int, int, int, int]]:
    rng = random.Random(0)
    return [random_crop(width, height, smallest, rng) for _ in range(number)]


def test_crops_lie_in_the_image_and_keep_area_and_aspect_ratio() -> None:
    shares, aspects = [], []
    for left, top, right, bottom in draw_crops(400, 300, 0.5):
        assert 0 <= left < right <= 400
        assert 0 <= top < bottom <= 300
        shares.append((right - left) * (bottom - top) / (400 * 300))
        aspects.append((right - left) / (bottom - top))
    assert 0.49 < min(shares) < 0.52
    assert 0.95 < max(shares) <= 1
    assert 0.74 < min(aspects) < 0.8
    assert 1.3 < max(aspects) < 1.35


def test_crops_reach_both_edges() -> None:
    lefts = [left for left, *_ in draw_crops(400, 300, 0.5)]
    rights = [right for _, _, right, _ in draw_crops(400, 300, 0.5)]
    assert min(lefts) == 0
    assert max(rights) == 400


def test_a_narrow_image_is_cropped_to_its_middle() -> None:
    assert set(draw_crops(1000, 10, 0.9, 20)) == {(493, 0, 506, 10)}
    assert set(draw_crops(10, 1000, 0.9, 20)) == {(0, 493, 10, 506)}


def test_an_image_of_one_pixel_is_kept() -> None:
    assert set(draw_crops(1, 1, 0.5, 20)) == {(0, 0, 1, 1)}
