"""The script for a GPU, on whatever there is."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from loadtests.gpu import command, phases
from loadtests.gpu.phases import flags
from loadtests.gpu.plan import FULL, Budget, Load, Phase, Server
from loadtests.gpu.records import Records
from loadtests.systems import Started

ROOT = Path(__file__).parents[2]


def run_with(started: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(phases, "started", started)
    monkeypatch.setattr(phases.Session, "run_encoder", lambda _: None)
    monkeypatch.setattr("sys.argv", ["gpu", "--dry-run", "--out", str(tmp_path), *words])
    command.main()


def test_one_system_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    @contextmanager
    def started(name: str, *_: object, **__: object) -> Iterator[None]:
        tried.append(name)
        raise RuntimeError("no room")
        yield

    with pytest.raises(SystemExit, match="vllm, tiny: no room"):
        run_with(started, tmp_path, monkeypatch)
    assert tried == ["service", "vllm"]
    assert "- service, tiny no room" in (tmp_path / "report.md").read_text()


def test_without_time_everything_is_skipped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with(pytest.fail, tmp_path, monkeypatch, "--seconds", "3", "--phases", "text")
    text = (tmp_path / "report.md").read_text()
    assert "- service, tiny: text, greedy, 2 streams" in text
    assert "unique" not in text, "another phase"


def test_when_the_time_is_up_the_report_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def started(*_: object, **__: object) -> Iterator[None]:
        subprocess.run(["sleep", "30"], check=True)
        yield

    monkeypatch.setattr(Budget, "start_limit", lambda *_: 1.0)
    with pytest.raises(SystemExit, match="SIGALRM"):
        run_with(started, tmp_path, monkeypatch, "--seconds", "1")
    assert (tmp_path / "report.md").exists()


def test_the_peer_keeps_its_time_for_what_is_more_important() -> None:
    ours, peer, *_ = FULL.servers
    new, text = ours.loads[0], next(one for one in ours.loads if one.workload == "text")
    timing = FULL.timing
    peers = sum(one.phase == Phase.PEER_NEW_IMAGES for one in peer.loads)
    tight = Budget(timing.load + timing.start + peers * timing.load - 1, timing)
    assert tight.fits(new, [peer])
    assert not tight.fits(text, [peer])
    assert tight.fits(text, [])
    assert 0 < tight.start_limit(ours, [peer]) < timing.start_limit
    assert Budget(timing.start, timing).start_limit(ours, [peer]) < 0


def test_the_whole_plan_fits_into_fifteen_minutes() -> None:
    timing = FULL.timing
    # Four of the API processes are the default on a machine of 16 cores, and not measured twice.
    loads = [len(server.loads) for server in FULL.servers]
    assert sum(timing.start + timing.load * count for count in loads[:4] + loads[5:]) < 840
    order = [server.phase for server in FULL.servers]
    assert all(before <= after for before, after in pairwise(order))


def test_the_default_number_of_api_processes_is_not_measured_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, Any]] = []

    @contextmanager
    def start(_: phases.Session, server: Server, limit: float) -> Iterator[Started]:
        begun.append((f"{server.system} {server.size}", server.processes))
        # The default of a machine of 16 cores.
        default = 4 if server.system == "service" else 1
        yield Started("", "", server.processes or default)

    monkeypatch.setattr(phases.Session, "_start", start)
    monkeypatch.setattr(phases, "count_api_processes", lambda pid: pid)
    monkeypatch.setattr(phases, "answer_first_requests", lambda *_: None)
    monkeypatch.setattr(phases, "measure", lambda *_: {"requests_per_second": 1.0})
    records, pools = Records(tmp_path), [Mock()]
    session = phases.Session(FULL, Budget(900, FULL.timing), tmp_path, tmp_path, records, pools)
    session.run([phase for phase in Phase if phase is not Phase.ENCODER])
    assert begun == [
        ("service 7b", None),
        ("vllm 7b", None),
        ("service 7b", 1),
        ("service 7b", 2),
        ("vllm 7b", 4),
        ("service 13b", None),
    ]
    assert not records.read("skipped")
    assert len(records.read("load")) == 24


def test_both_systems_have_the_same_flags_on_a_gpu() -> None:
    loads = (Load(Phase.TEXT, "text", 1),)
    ours, peer = (Server(name, "7b", loads, 4) for name in ("service", "vllm"))
    assert flags(ours, on_gpu=True) == flags(peer, on_gpu=True)
    assert flags(ours, on_gpu=True)[-2:] == ["--api-server-count", "4"]


@pytest.mark.slow
def test_the_script_goes_all_its_ways(tmp_path: Path) -> None:
    """Run all phases, with a vocabulary three times the tokenizer's: two starts."""
    words = ["-m", "loadtests.gpu", "--dry-run", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds == ["machine", "encoder", *(["start"] + ["load"] * 6) * 2]
    assert all(row["images_per_second"] > 0 for row in lines[1]["rows"])
    for line in lines:
        if line["kind"] == "load":
            assert set(line["statuses"]) == {"200"}, line
            tokens = line["tokens_per_second"] / line["requests_per_second"]
            assert tokens == pytest.approx(line["tokens"], rel=0.01)
            # Chunks are timed, not texts, which two thirds of these tokens do not have.
            assert line["gap_ms"][0] > 0
            assert line["cores"]["engine"] > 0
            new = line["workload"] in ("unique", "photo") and line["system"] == "service"
            assert ("encoder" in line) == new, line
    text = (tmp_path / "report.md").read_text()
    assert text.count("| this service |") == text.count("| vLLM's BLIP-2 |") == 6
