"""Agreement between two judges beyond chance.

Source: J. Cohen, *A Coefficient of Agreement for Nominal Scales* (1960).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.measurement.intervals import Score, bootstrap


@dataclass(frozen=True)
class Agreement:
    """How often two judges agree.

    Attributes:
        kappa: Cohen's, or None where chance alone explains everything: both always say the same.
        equal: The share of equal verdicts, between 0 and 1.
        number: Answers that both judged.
    """

    one: str
    other: str
    kappa: Score | None
    equal: float
    number: int


def compare(
    one: str, other: str, mine: Mapping[str, bool], theirs: Mapping[str, bool]
) -> Agreement | None:
    """Compare verdicts by answer; None if there is no answer that both judged."""
    common = sorted(mine.keys() & theirs.keys())
    if not common:
        return None
    rows = [[0.0] * 4 for _ in common]
    for row, name in zip(rows, common, strict=True):
        row[2 * mine[name] + theirs[name]] = 1.0
    table = np.asarray(rows).sum(axis=0)
    equal = float((table[0] + table[3]) / len(common))
    value = float(_kappa(table))
    if np.isnan(value):
        return Agreement(one, other, None, equal, len(common))
    low, high = bootstrap(rows, common, lambda sums: np.nan_to_num(_kappa(sums), nan=1.0))
    score = Score(f"{one} and {other}", value, low, high, len(common), "kappa")
    return Agreement(one, other, score, equal, len(common))


def _kappa(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """From counts of no-no, no-yes, yes-no and yes-yes, in the last dimension."""
    shares = table / table.sum(axis=-1, keepdims=True)
    equal = shares[..., 0] + shares[..., 3]
    mine, theirs = shares[..., 2] + shares[..., 3], shares[..., 1] + shares[..., 3]
    chance = mine * theirs + (1 - mine) * (1 - theirs)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: NDArray[np.float64] = (equal - chance) / (1 - chance)
    return result
