"""The leaky bucket behind the limits by the minute."""

import pytest

from service.usage.meter import Meter


def test_use_drains_at_the_rate_of_the_limit() -> None:
    meter = Meter(used=60, updated=100)
    meter.drain(60, now=110)
    assert meter.used == 50
    meter.drain(60, now=1000)
    assert meter.used == 0


def test_the_clock_never_runs_backwards() -> None:
    meter = Meter(used=5, updated=100)
    meter.drain(60, now=50)
    assert meter.used == 5


def test_without_a_limit_nothing_is_kept() -> None:
    meter = Meter(used=1000, updated=0)
    meter.drain(None, now=1)
    assert meter.used == 0
    assert meter.allowance(None) is None


def test_a_debt_leaves_nothing_and_takes_its_time() -> None:
    allowance = Meter(used=180, updated=0).allowance(60)
    assert allowance is not None
    assert (allowance.limit, allowance.remaining, allowance.reset_seconds) == (60, 0, 180)
    assert Meter(used=180, updated=0).seconds_until(59, 60) == pytest.approx(121)


def test_a_new_limit_counts_what_was_used_under_the_old_one() -> None:
    meter = Meter(used=50, updated=0)
    lowered = meter.allowance(40)
    assert lowered is not None
    assert lowered.remaining == 0
    raised = meter.allowance(80)
    assert raised is not None
    assert raised.remaining == 30
