"""When a supervisor takes the silence of an API process for a hang; the test sets the clock."""

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from service.serve import supervisor
from service.serve.supervisor import Supervisor
from service.settings import load_settings

GRACE = 600
"""Longer than ``hang_exit_seconds``."""


class EndedError(Exception):
    """The supervisor ends the service."""


class Clock:
    """The time; nothing happens while the supervisor waits."""

    now = 1000.0

    def wait(self, *_: object) -> list[object]:
        return []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supervisor, "monotonic", lambda: clock.now)
    monkeypatch.setattr(supervisor, "wait", clock.wait)
    return clock


@pytest.fixture
def running(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor that serves, with two API processes that have just been heard of."""

    def fail(_: Supervisor, message: str) -> NoReturn:
        raise EndedError(message)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Supervisor, "_fail", fail)
    model: Any = None
    made = Supervisor(model, load_settings(), Namespace(shutdown_timeout=GRACE), [])
    children: list[Any] = [
        SimpleNamespace(
            name=name,
            facts={},
            heard_at=clock.now,
            pipe=SimpleNamespace(closed=True),
            process=SimpleNamespace(sentinel=object()),
            send=lambda word: None,
        )
        for name in ("the vision encoder", "API process 0", "API process 1")
    ]
    made._encoder, made._apis = children[0], children[1:]
    made._serving = True
    yield made
    for end_of in (made._signals, made._signal_side, made._engine_pipe, made._engine_side):
        end_of.close()


def wait_for_seconds(running: Supervisor, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        running._wait()


def test_a_silent_api_process_hangs(running: Supervisor, clock: Clock) -> None:
    wait_for_seconds(running, clock, 300)
    running._apis[0].heard_at = clock.now
    with pytest.raises(EndedError, match="API process 1 makes no progress"):
        wait_for_seconds(running, clock, 1)


def test_a_pause_of_the_whole_service_is_no_hang(running: Supervisor, clock: Clock) -> None:
    clock.now += 1000
    running._wait()
    wait_for_seconds(running, clock, 300)
    with pytest.raises(EndedError, match="API process 0 makes no progress"):
        wait_for_seconds(running, clock, 1)


def test_a_drain_may_take_longer_than_a_hang(running: Supervisor, clock: Clock) -> None:
    running._signal_side.send(b"\x0f")
    running._handle_signal()
    wait_for_seconds(running, clock, GRACE)
    running._apis[0].facts["drained"] = 0
    with pytest.raises(EndedError, match="API process 1 did not drain in time"):
        wait_for_seconds(running, clock, 11)
