"""The progress line on standard error."""

import time

import pytest

from service.training.progress_bar import ProgressBar, format_time


def test_the_line_has_step_loss_rate_speed_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bar = ProgressBar(steps=40, first=10)
    bar.show(11, 9.0, 1e-4, 1.0)
    assert capsys.readouterr().err == ""  # too soon
    now[0] += 60
    bar.show(20, 2.34567, 1e-4, 21.34)
    assert capsys.readouterr().err == (
        "[############............] 20/40  loss 2.3457  lr 1.00e-04  21.3 samples/s  0:02:00 left\n"
    )
    bar.show(40, 1.0, 1e-5, 20.0, force=True)
    assert "40/40  loss 1.0000" in capsys.readouterr().err
    ProgressBar(steps=2, first=0, shown=False).show(2, 1.0, 1e-5, 20.0, force=True)
    assert capsys.readouterr().err == ""


def test_times_are_hours_minutes_and_seconds() -> None:
    assert format_time(3723.4) == "1:02:03"
