"""``python -m loadtests.compare --baseline DIR``: this checkout beside another commit's, in turns.

``DIR`` is a checkout of the other commit (``git worktree add DIR COMMIT``); both run in this environment. One
service runs at a time. Each round starts both, the order alternating, and measures every level after a warm-up.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil

from loadtests.client import Client, Run
from loadtests.server_process import free_port, run_server
from loadtests.systems import Started
from loadtests.traffic import WORKLOADS

LEVELS = (("unique", 1), ("unique", 8), ("unique", 32), ("seen", 8), ("text", 8))
"""Workload and number of requests at the same time."""

WARM_UP_SECONDS = 2.0
SEEDS = count(step=100_000)
"""No two measurements share an image."""


@dataclass(frozen=True)
class Level:
    """What one service did at one level in one round."""

    requests_per_second: float
    tokens_per_second: float
    first_token_p50_ms: float
    first_token_p99_ms: float
    api_cpu_ms: float
    engine_cpu_ms: float


FIGURES = {
    "requests_per_second": "requests/s",
    "tokens_per_second": "tokens/s",
    "first_token_p50_ms": "first token p50, ms",
    "first_token_p99_ms": "first token p99, ms",
    "api_cpu_ms": "CPU ms a request, API process",
    "engine_cpu_ms": "CPU ms a request, engine",
}


def main() -> None:
    """Measure and print a Markdown table of medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.compare", description=__doc__)
    parser.add_argument("--baseline", type=Path, required=True, help="checkout of another commit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="length of one measurement")
    parser.add_argument("--out", type=Path, default=Path("results/compare"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    checkouts = {
        "baseline": install(asked.baseline.resolve(), asked.out / "packages-baseline"),
        "this": install(Path.cwd(), asked.out / "packages-this"),
    }
    measured: dict[str, list[dict[tuple[str, int], Level]]] = {name: [] for name in checkouts}
    starts: dict[str, list[float]] = {name: [] for name in checkouts}
    for number in range(asked.rounds):
        for name in sorted(checkouts, reverse=number % 2 == 1):
            begin = time.monotonic()
            with serve(checkouts[name], asked.out / f"{name}.log") as service:
                starts[name].append(time.monotonic() - begin)
                measured[name].append(
                    {level: measure(service, *level, asked.seconds) for level in LEVELS}
                )
            print(f"round {number + 1}: {name} done", file=sys.stderr)
    print(f"start-up: {starts}", file=sys.stderr)
    print("\n".join(table(measured, starts)))


def install(checkout: Path, packages: Path) -> Path:
    """Install a checkout into a folder of its own: vLLM finds the plugin by the package's entry points."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--upgrade", "--target", str(packages), str(checkout)], check=True)
    return packages.resolve()


@contextmanager
def serve(packages: Path, log: Path) -> Iterator[Started]:
    """Serve the default model with the code that is installed in ``packages``."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    words = ["service", "serve", "--port", str(port)]
    with run_server(words, f"{url}/ready", log, packages, environment) as pid:
        yield Started(url, "demo", pid)


def measure(service: Started, workload: str, concurrency: int, seconds: float) -> Level:
    """One level after a warm-up of its own."""
    client = Client(service.url, service.model)
    requests = WORKLOADS[workload](next(SEEDS))
    asyncio.run(client.closed(requests, concurrency, WARM_UP_SECONDS))
    before = cpu_seconds(service.pid)
    run = asyncio.run(client.closed(requests, concurrency, seconds))
    used = [after - first for after, first in zip(cpu_seconds(service.pid), before, strict=True)]
    return summarise(run, *used)


def cpu_seconds(pid: int) -> tuple[float, float]:
    """Processor seconds of the API process, and of the processes that it started."""
    api = psutil.Process(pid)
    times = [sum(process.cpu_times()[:2]) for process in (api, *api.children(recursive=True))]
    return times[0], sum(times[1:])


def summarise(run: Run, api_seconds: float, engine_seconds: float) -> Level:
    """The figures of one run; raises RuntimeError where a request failed."""
    if not all(sample.ok for sample in run.samples):
        raise RuntimeError("A request failed.")
    first = [1000 * sample.first_token for sample in run.samples]
    requests = len(run.samples)
    return Level(
        requests / run.seconds,
        sum(sample.tokens for sample in run.samples) / run.seconds,
        statistics.median(first),
        statistics.quantiles(first, n=100, method="inclusive")[98],
        1000 * api_seconds / requests,
        1000 * engine_seconds / requests,
    )


def table(
    measured: dict[str, list[dict[tuple[str, int], Level]]], starts: dict[str, list[float]]
) -> Iterator[str]:
    """Medians over the rounds, the ratio of this to the baseline, and the ratios of single rounds."""
    yield "| level | figure | baseline | this | ratio | ratios by round |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    yield _row("start-up", "seconds", starts["baseline"], starts["this"])
    for level in LEVELS:
        for name, title in FIGURES.items():
            values = {
                system: [getattr(turn[level], name) for turn in rounds]
                for system, rounds in measured.items()
            }
            yield _row(f"{level[0]}, {level[1]} at a time", title, *values.values())


def _row(level: str, title: str, baseline: list[float], this: list[float]) -> str:
    ratios = " ".join(f"{new / old:.2f}" for old, new in zip(baseline, this, strict=True))
    old, new = statistics.median(baseline), statistics.median(this)
    return f"| {level} | {title} | {old:.1f} | {new:.1f} | {new / old:.2f} | {ratios} |"


if __name__ == "__main__":
    main()
