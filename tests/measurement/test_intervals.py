"""Intervals: known values, clusters, and edges."""

import numpy as np
import pytest

from service.measurement.intervals import Sums, bootstrap, score, share, wilson


def test_wilson_has_the_textbook_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(20, 20)
    assert 0.83 < low < high == 1.0


def test_a_share_has_wilson_s_interval_and_questions_about_one_image_a_wider_one() -> None:
    values = [1.0, 0.0] * 50
    alone = share("x", values, [str(number) for number in range(100)])
    assert (alone.low, alone.high) == pytest.approx([100 * end for end in wilson(50, 100)])
    grouped = share("x", sorted(values), [str(number // 10) for number in range(100)])
    assert grouped.value == alone.value == 50
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    assert share("x", [1.0] * 10, ["one"] * 10).low < 50, "one image says little"


def test_the_bootstrap_covers_the_mean_of_normal_values_and_repeats_itself() -> None:
    rng = np.random.default_rng(1)
    rows = [[value, 1.0] for value in rng.normal(10, 2, 400)]
    groups = [str(number) for number in range(400)]

    def mean(sums: Sums) -> Sums:
        return sums[..., 0] / sums[..., 1]

    found = score("x", rows, groups, mean, "points")
    assert found.high - found.low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.15)
    assert found.low < found.value < found.high
    assert bootstrap(rows, groups, mean) == (found.low, found.high)
