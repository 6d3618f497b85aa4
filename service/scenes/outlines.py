"""The outlines of shapes as corner points in the unit circle, with y downwards."""

import math
import random

Point = tuple[float, float]


def draw_outline(kind: str, rng: random.Random) -> list[Point]:
    """Return the corners of a shape that is not round; its proportions vary."""
    if kind == "square":
        tall = rng.uniform(0.78, 0.9)
        return [(-0.85, -tall), (0.85, -tall), (0.85, tall), (-0.85, tall)]
    if kind == "triangle":
        top = rng.uniform(-0.2, 0.2)
        return [(top, -0.95), (0.95, 0.8), (-0.95, 0.8)]
    if kind == "diamond":
        wide = rng.uniform(0.65, 0.85)
        return [(0, -1), (wide, 0), (0, 1), (-wide, 0)]
    if kind == "cross":
        arm = rng.uniform(0.24, 0.36)
        quarter = [(-arm, -1.0), (arm, -1.0), (arm, -arm)]
        return [point for turns in range(4) for point in _rotate_by_quarters(quarter, turns)]
    if kind == "star":
        inner = rng.uniform(0.38, 0.48)
        return [
            (reach * math.sin(step * math.pi / 5), -reach * math.cos(step * math.pi / 5))
            for step in range(10)
            for reach in (1.0 if step % 2 == 0 else inner,)
        ]
    return _make_heart()


def _make_heart() -> list[Point]:
    steps = [step * math.tau / 40 for step in range(40)]
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
        )
        for t in steps
    ]


def _rotate_by_quarters(points: list[Point], turns: int) -> list[Point]:
    for _ in range(turns):
        points = [(-y, x) for x, y in points]
    return points
