"""95 % intervals: Wilson's for shares, the percentile bootstrap for everything else.

Sources: E. B. Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*
(1927); B. Efron and R. Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]
Statistic = Callable[[Sums], Sums]
"""From the sums over all items, shape ``[..., columns]``, to the value, shape ``[...]``."""

_Z = 1.959964
_DRAWS = 1000
_SEED = 0
_CHUNK = 2_000_000
"""Numbers drawn at a time, so that memory stays at tens of MiB for any number of images."""


@dataclass(frozen=True)
class Score:
    """A measured value with its 95 % interval.

    Attributes:
        number: Items that the value comes from.
        unit: ``%``, ``points``, ``words``, ...
    """

    name: str
    value: float
    low: float
    high: float
    number: int
    unit: str = "%"


def wilson(hits: float, number: int) -> tuple[float, float]:
    """The interval of a share, as two shares; ``(0, 1)`` where nothing was measured."""
    if not number:
        return 0.0, 1.0
    share, square = hits / number, _Z * _Z / number
    middle = (share + square / 2) / (1 + square)
    half = _Z / (1 + square) * sqrt(share * (1 - share) / number + square / number / 4)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def share(name: str, values: Sequence[float], groups: Sequence[str]) -> Score:
    """The mean of values between 0 and 1, in percent.

    The interval is Wilson's if every group has one item. Several questions about one image are not
    independent: then whole groups are resampled.

    Args:
        values: One for each item.
        groups: What each item depends on, such as its image.
    """
    number, total = len(values), float(sum(values))
    mean = total / number if number else 0.0
    clusters = len(set(groups))
    low, high = wilson(mean * clusters, clusters)
    if 0 < mean < 1 and clusters < number:
        low, high = bootstrap([[value, 1.0] for value in values], groups, _ratio)
    return Score(name, 100 * mean, 100 * low, 100 * high, number)


def score(
    name: str,
    rows: Sequence[Sequence[float]],
    groups: Sequence[str],
    statistic: Statistic,
    unit: str = "%",
) -> Score:
    """A value that is a function of sums over items, with its bootstrap interval.

    Args:
        rows: What each item adds to each sum, shape ``[items, columns]``.
        groups: What each item depends on; whole groups are resampled.
        statistic: From the sums to the value.
    """
    value = float(statistic(np.asarray(rows, dtype=np.float64).sum(axis=0)))
    low, high = bootstrap(rows, groups, statistic)
    return Score(name, value, low, high, len(rows), unit)


def bootstrap(
    rows: Sequence[Sequence[float]], groups: Sequence[str], statistic: Statistic
) -> tuple[float, float]:
    """The percentile interval over resampled groups; the same on every run."""
    table = np.asarray(rows, dtype=np.float64)
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((int(index.max()) + 1, table.shape[1]))
    np.add.at(sums, index, table)
    rng, number = np.random.default_rng(_SEED), len(sums)
    chunk = max(_CHUNK // number, 1)
    values: list[Sums] = []
    for start in range(0, _DRAWS, chunk):
        draws = min(chunk, _DRAWS - start)
        weights = rng.multinomial(number, np.full(number, 1 / number), size=draws)
        values.append(statistic(weights @ sums))
    low, high = np.quantile(np.concatenate(values), (0.025, 0.975))
    return float(low), float(high)


def _ratio(sums: Sums) -> Sums:
    return sums[..., 0] / sums[..., 1]
