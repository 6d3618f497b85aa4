"""The script for a GPU, on whatever there is."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from loadtests import encoder_speed, traffic
from loadtests.client import Run, Sample
from loadtests.client_processes import split_streams
from loadtests.gpu import command, phases, report
from loadtests.gpu.levels import Observation, differences, figures
from loadtests.gpu.phases import flags
from loadtests.gpu.plan import FULL, Budget, Load, Phase, Server
from loadtests.gpu.records import Records
from loadtests.observe import ENCODER_METRICS
from service.model_folder.vision_config import VisionConfig

ROOT = Path(__file__).parents[2]


def test_the_published_vit_costs_what_the_paper_trail_says() -> None:
    assert encoder_speed.flops(VisionConfig()) == pytest.approx(0.53e12, rel=0.02)


def encoder(**shares: float) -> dict[str, Any]:
    rows = [
        {"batch": int(batch[1:]), "images_per_second": 1000 * share, "of_peak": share}
        for batch, share in shares.items()
    ]
    return {
        "device": "X",
        "dtype": "bfloat16",
        "flops_per_image": 1e12,
        "matrix_flops": 1e15,
        "memory_bytes_per_second": 4e12,
        "rows": rows,
    }


def load(system: str = "service", speed: float = 20.0, **fields: Any) -> dict[str, Any]:
    known = {
        "size": "7b",
        "processes": 1,
        "workload": "unique",
        "sampling": "greedy",
        "streams": 1,
        "tokens": 64,
        "decoded_bytes": 2e10,
        "requests_per_second": speed,
        "tokens_per_second": 64 * speed,
        "first_token_ms": [20.0, 41.0],
        "gap_ms": [10.0, 12.0],
        "failed": 0,
        "cores": {"API": 0.5, "engine": 1.0},
    }
    return {"system": system, **known, **fields}


def write_report(out: Path, records: Records) -> str:
    report.write(out, records)
    return (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("shares", "line"),
    [
        ({"b1": 0.1, "b32": 0.51}, "≥ 0.5 | 0.51 | met |"),
        ({"b1": 0.6, "b32": 0.49}, "≥ 0.5 | 0.49 | missed |"),
        ({"b1": 0.6}, "≥ 0.5 | - | not measured |"),
    ],
)
def test_the_report_judges_batch_32(tmp_path: Path, shares: dict[str, float], line: str) -> None:
    records = Records(tmp_path)
    records.add("encoder", **encoder(**shares))
    text = write_report(tmp_path, records)
    assert line in text
    assert "at 1000 images/s" in text


def test_a_row_has_the_ratio_to_the_peers_best_and_replaces_an_earlier_one(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.add("machine", device="Card 1", cores=16)
    records.add("encoder", **encoder())
    records.add("load", **load(speed=1.0))
    records.add("load", **load(speed=20.0, encoder={"images_per_second": 19.0}))
    records.add("load", **load("vllm", 8.0))
    records.add("load", **load("vllm", 10.0, processes=4))
    text = write_report(tmp_path, records)
    row = "| 1 | this service | 1 | 20.0 | 2.00 | 1280 | 20 ms | 41 ms | 10 ms | 12 ms | 19 |"
    assert f"{row} API 0.5, engine 1.0 |" in text
    assert text.count("| this service |") == 1
    assert "\nCard 1, answers of 64 tokens" in text
    assert "100 tokens/s; reading the weights for each token bounds it at 200" in text


def test_the_report_of_a_killed_run_has_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Records(tmp_path).add("load", **load())
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write('{"kind": "load", "sys')
    monkeypatch.setattr("sys.argv", ["gpu", "--report-only", "--out", str(tmp_path)])
    command.main()
    assert "| 1 | this service | 1 | 20.0 | - |" in (tmp_path / "report.md").read_text()


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


def test_both_systems_have_the_same_flags_on_a_gpu() -> None:
    loads = (Load(Phase.TEXT, "text", 1),)
    ours, peer = (Server(name, "7b", loads, 4) for name in ("service", "vllm"))
    assert flags(ours, on_gpu=True) == flags(peer, on_gpu=True)
    assert flags(ours, on_gpu=True)[-2:] == ["--api-server-count", "4"]


def test_streams_are_divided_over_the_client_processes() -> None:
    assert split_streams(10, 3) == [4, 3, 3]
    assert split_streams(1, 3) == [1]


def test_an_answer_partly_in_the_window_counts_in_part() -> None:
    samples = [
        Sample(0.0, 200, 2.0, first_token=0.5, tokens=8),  # half of it
        Sample(1.5, 200, 1.0, first_token=0.1, gaps=[0.2, 0.4], tokens=8),
        Sample(4.0, 200, 1.0, first_token=0.9, tokens=8),  # after it
        Sample(2.0, 503, 0.1),
    ]
    found = figures([Run(5.0, samples[:2]), Run(5.0, samples[2:])], begin=1.0, seconds=2.0)
    assert found["requests_per_second"] == 0.75
    assert found["tokens_per_second"] == 6.0
    assert found["first_token_ms"] == [100.0, 100.0]
    assert found["statuses"] == {"200": 3, "503": 1}
    assert found["failed"] == 1


def test_cores_and_images_are_those_between_two_observations() -> None:
    metrics = encoder_metrics(1.0, 10.0, 4.0), encoder_metrics(2.0, 50.0, 9.0)
    found = differences(
        Observation(0.0, {"API": 1.0}, metrics[0]),
        Observation(2.0, {"API": 4.0, "engine": 1.0}, metrics[1]),
    )
    assert found["cores"] == {"API": 1.5, "engine": 0.5}
    assert found["encoder"] == {"images_per_second": 20.0, "images_per_batch": 8.0, "busy": 0.5}
    assert "encoder" not in differences(Observation(0.0, {}, {}), Observation(1.0, {}, metrics[1]))


def encoder_metrics(seconds: float, images: float, batches: float) -> dict[str, float]:
    return dict(zip(ENCODER_METRICS, (seconds, images, batches), strict=True))


def test_a_photograph_is_large_and_each_is_new() -> None:
    data = [base64.b64decode(traffic.photograph(seed).partition(",")[2]) for seed in (1, 2)]
    assert data[0] != data[1]
    assert 200_000 < len(data[0]) < 400_000
    assert Image.open(BytesIO(data[0])).size == (1280, 960)


def test_matrix_products_are_of_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    multiply = torch.mm

    def noting(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        seen.append(a)
        return multiply(a, b, out=out)

    monkeypatch.setattr(torch, "mm", noting)
    assert encoder_speed.matrix_flops(torch.device("cpu"), torch.float32, 0.01) > 0
    assert seen[0].std() == pytest.approx(1, rel=0.05)


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
