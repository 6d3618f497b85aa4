"""The report of the measurement on a GPU."""

from pathlib import Path
from typing import Any

import pytest

from loadtests.gpu import command, report
from loadtests.gpu.records import Records


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
