"""The script for a GPU, on whatever there is."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from loadtests import encoder_speed, gpu, gpu_report
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


@pytest.mark.parametrize(
    ("shares", "line"),
    [
        ({"b1": 0.1, "b32": 0.51}, "≥ 0.5 | 0.51 | met |"),
        ({"b1": 0.6, "b32": 0.49}, "≥ 0.5 | 0.49 | missed |"),
        ({"b1": 0.6}, "≥ 0.5 | - | not measured |"),
    ],
)
def test_the_report_judges_batch_32(tmp_path: Path, shares: dict[str, float], line: str) -> None:
    (tmp_path / "encoder.json").write_text(json.dumps(encoder(**shares)))
    gpu_report.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert line in text
    assert "at 1000 images/s" in text


def test_a_stream_stands_beside_its_bound() -> None:
    sample = {"status": 200, "first_token": 1.0, "gaps": [0.01]}
    record = {"workload": "7b", "model_bytes": 2e10, "samples": [sample]}
    text = gpu_report.stream_bound(record, encoder())
    assert "100 tokens/s" in text
    assert "bounds it at 200" in text


def test_one_system_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    @contextmanager
    def started(name: str, *_: object, **__: object) -> Iterator[None]:
        tried.append(name)
        raise RuntimeError("no room")
        yield

    monkeypatch.setattr(gpu, "started", started)
    monkeypatch.setattr(gpu, "measure_encoder", lambda *_: [])
    monkeypatch.setattr("sys.argv", ["gpu", "--dry-run", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="vllm: no room"):
        gpu.main()
    assert tried == ["service", "vllm", "original"]
    assert not list(tmp_path.glob("model-*")), "deleted after use"


def test_sizes_after_the_first_are_only_served(tmp_path: Path) -> None:
    def runs(name: str, parts: list[str]) -> list[tuple[str, int]]:
        given = gpu.loads(name, "7b", parts, gpu.FULL, tmp_path)
        return [(load.title, max(load.levels)) for load in given]

    assert runs("service", ["serve"]) == [("7b", 256)]
    assert runs("vllm", ["serve"]) == []
    assert runs("service", list(gpu.PARTS)) == [("7b", 256), ("unique", 256), ("seen", 256)]
    assert runs("original", list(gpu.PARTS)) == [("unique", 16), ("seen", 16)]


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
    """Run all parts, with a vocabulary three times the tokenizer's: three starts."""
    words = ["-m", "loadtests.gpu", "--dry-run", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "encoder.json").read_text())["rows"]
    assert [row["batch"] for row in rows] == [1, 2]
    assert all(row["images_per_second"] > 0 for row in rows)
    files = [tmp_path / "service-tiny-1.json"]
    files += [
        tmp_path / "compare" / f"{system}-{workload}-1.json"
        for system in ("service", "vllm", "original")
        for workload in ("unique", "seen")
    ]
    for file in files:
        samples = json.loads(file.read_text())["samples"]
        length = gpu.SERVED_TOKENS if "tiny" in file.name else gpu.COMPARED_TOKENS
        assert {(s["status"], s["tokens"]) for s in samples} == {(200, length)}, file.name
        # Chunks are timed, not texts, which two thirds of these tokens do not have.
        assert sum(len(s["gaps"]) for s in samples) > len(samples) * length / 2, file.name
    assert "tokens/s" in (tmp_path / "report.md").read_text()
    assert "this service | vLLM's BLIP-2 | the original's way" in (
        (tmp_path / "compare" / "report.md").read_text()
    )
    assert not list(tmp_path.glob("model-*")) + list(tmp_path.glob("blip2-*")), "deleted after use"
