"""The life of a supervised service, with processes that only say what the real ones say."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

Start = Callable[..., "Run"]


class Run:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.temporary = folder, folder.parent / "temporary"
        self.temporary.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "tests.serve.supervised", str(folder)]
        self.process = subprocess.Popen(
            command,
            env={
                **os.environ,
                "PYTHONWARNINGS": "ignore",  # as service/serve/environment.py
                "TMPDIR": str(self.temporary),
            },
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.log = ""

    def wait_until_ready(self, text: str = "Ready: ") -> list[psutil.Process]:
        """Wait for a line with ``text``; returns all processes but the supervisor."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line
            if text in line:
                return psutil.Process(self.process.pid).children(recursive=True)
        raise AssertionError(self.log)

    def end(self, seconds: float = 20) -> int:
        """Wait for the end and read the rest of the log."""
        _, rest = self.process.communicate(timeout=seconds)
        self.log += rest
        return self.process.returncode

    def words(self, index: int) -> list[str]:
        return (self.folder / f"api-{index}.words").read_text().split()

    def pid(self, name: str) -> int:
        return int((self.folder / f"{name}.pid").read_text())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def make(name: str = "folder") -> Run:
        runs.append(Run(tmp_path / name))
        return runs[-1]

    yield make
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert not alive


def test_all_serve_drain_and_stop_together(start: Start) -> None:
    run = start()
    children = run.wait_until_ready()
    assert "capacity 0 of 2" in run.log
    # The engine connects after it has told that it is ready.
    assert not (run.folder / "removed").exists(), "the engine's sockets are gone"
    # To the whole group, as a terminal and systemd do: only the supervisor minds.
    os.killpg(run.process.pid, signal.SIGTERM)
    assert run.end() == 0, run.log
    assert [run.words(index) for index in range(2)] == [["serve", "drain", "stop"]] * 2
    assert "Draining: 7 requests in flight, at most 5 s." in run.log
    assert "1 requests were cut." in run.log
    assert (run.folder / "removed").exists()
    assert not list(run.temporary.iterdir())
    assert_gone(children)
    assert "Traceback" not in run.log


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("api-1", "API process 1 has died (exit status -9); exiting."),
        ("encoder", "The vision encoder has died (exit status -9); exiting."),
        ("engine", "The engine has died; exiting."),
    ],
)
def test_the_death_of_any_process_is_the_end(start: Start, name: str, message: str) -> None:
    run = start()
    children = run.wait_until_ready()
    begin = time.monotonic()
    os.kill(run.pid(name), signal.SIGKILL)
    assert run.end(5) == 1
    assert time.monotonic() - begin < 5
    assert message in run.log
    assert run.words(0) == ["serve", "fail"], "the others end their streams"
    assert_gone(children)


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("bad-encoder", "the weights are gone"),
        ("bad-engine", "there is no memory"),
        ("bad-plan", "the path is too long"),
    ],
)
def test_what_cannot_start_says_so_in_the_last_line(start: Start, folder: str, reason: str) -> None:
    run = start(folder)
    assert run.end() == 1
    assert run.log.strip().splitlines()[-1] == f"minigpt4-service: {reason}"


@pytest.mark.parametrize("text", ["Loading", "vision encoder ...", "vLLM engine ..."])
def test_a_signal_during_the_start_is_the_end_and_no_failure(start: Start, text: str) -> None:
    run = start()
    children = run.wait_until_ready(text)
    os.killpg(run.process.pid, signal.SIGTERM)
    assert run.end() == 1
    assert not [word for word in ("Traceback", "died") if word in run.log]
    assert_gone(children)


def test_a_failure_that_nobody_can_read_is_the_end_as_well(start: Start) -> None:
    run = start("bad-plan")
    assert run.process.stderr is not None
    run.process.stderr.close()
    assert run.process.wait(20) == 1


def test_an_engine_that_dies_while_others_load_is_the_end(start: Start) -> None:
    run = start("slow-api")
    run.wait_until_ready("vLLM engine ready")
    while not (run.folder / "engine.pid").exists():
        time.sleep(0.01)
    os.kill(run.pid("engine"), signal.SIGKILL)
    assert run.end(10) == 1
    assert "The engine has died; exiting." in run.log


def test_a_second_signal_ends_at_once(start: Start) -> None:
    run = start()
    children = run.wait_until_ready()
    os.kill(run.pid("api-1"), signal.SIGSTOP)
    run.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert run.process.poll() is None
    run.process.send_signal(signal.SIGTERM)
    assert run.end(5) == 1
    assert_gone(children)


def test_nothing_outlives_the_supervisor(start: Start) -> None:
    run = start()
    children = [
        child for child in run.wait_until_ready() if child.pid != run.pid("engine")
    ]  # vLLM's engine watches its parent itself
    engine = psutil.Process(run.pid("engine"))
    run.process.kill()
    engine.kill()
    assert_gone(children)
    run.end()
    (left,) = run.temporary.iterdir()
    assert start("bad-encoder").end() == 1
    assert not left.exists(), "the next start removes it"
