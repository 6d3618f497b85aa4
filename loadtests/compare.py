"""``python -m loadtests.compare --baseline DIR``: compare this checkout with another commit.

``DIR`` is a checkout of the other commit (``git worktree add DIR COMMIT``); both run in this
environment. Both services are up, and take turns of a few seconds in an alternating order. A
service that waits for its turn uses no processor time, so other work on the machine affects both
alike.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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

WARM_UP_SECONDS = 0.5
SEEDS = count(step=100_000)
"""Different measurements use different images."""


@dataclass(frozen=True)
class Level:
    """The figures of one service in one turn."""

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
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.compare", description=__doc__)
    parser.add_argument("--baseline", type=Path, required=True, help="checkout of another commit")
    parser.add_argument("--turns", type=int, default=12, help="turns of each service at a level")
    parser.add_argument("--seconds", type=float, default=2.5, help="length of a turn")
    parser.add_argument("--out", type=Path, default=Path("results/compare"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    checkouts = {"baseline": asked.baseline.resolve(), "this": Path.cwd()}
    with ExitStack() as stack:
        services = {}
        starts = {}
        for name, checkout in checkouts.items():
            packages = install(checkout, asked.out / f"packages-{name}")
            begin = time.monotonic()
            services[name] = stack.enter_context(serve(packages, asked.out / f"{name}.log"))
            starts[name] = [time.monotonic() - begin]
        print(_row("start-up", "seconds", starts["baseline"], starts["this"]), file=sys.stderr)
        print("| level | figure | baseline | this | median ratio | quartiles of the ratios |")
        print("| --- | --- | ---: | ---: | ---: | --- |")
        for level in LEVELS:
            turns = take_turns(services, level, asked.turns, asked.seconds)
            print("\n".join(table(level, turns)), flush=True)


def take_turns(
    services: dict[str, Started], level: tuple[str, int], turns: int, seconds: float
) -> dict[str, list[Level]]:
    """Measure each turn of each service at one level."""
    figures: dict[str, list[Level]] = {name: [] for name in services}
    for number in range(turns):
        for name in sorted(services, reverse=number % 2 == 1):
            figures[name].append(measure(services[name], *level, seconds))
    return figures


def install(checkout: Path, packages: Path) -> Path:
    """Install a checkout into its own folder: vLLM finds the plugin by its entry point."""
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
    """Run one turn at a level, after a short warm-up."""
    client = Client(service.url, service.model)
    requests = WORKLOADS[workload](next(SEEDS))
    asyncio.run(client.closed(requests, concurrency, WARM_UP_SECONDS))
    before = cpu_seconds(service.pid)
    run = asyncio.run(client.closed(requests, concurrency, seconds))
    used = [after - first for after, first in zip(cpu_seconds(service.pid), before, strict=True)]
    return summarise(run, *used)


def cpu_seconds(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of the API process, and of the processes that it started."""
    api = psutil.Process(pid)
    times = [sum(process.cpu_times()[:2]) for process in (api, *api.children(recursive=True))]
    return times[0], sum(times[1:])


def summarise(run: Run, api_seconds: float, engine_seconds: float) -> Level:
    """Compute the figures of one run; raise RuntimeError if a request failed."""
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


def table(level: tuple[str, int], turns: dict[str, list[Level]]) -> Iterator[str]:
    """Write a row for each figure: both medians, and the ratios of the turns."""
    for name, title in FIGURES.items():
        values = [
            [getattr(turn, name) for turn in turns[system]] for system in ("baseline", "this")
        ]
        yield _row(f"{level[0]}, {level[1]} at a time", title, *values)


def _row(level: str, title: str, baseline: list[float], this: list[float]) -> str:
    ratios = [new / old for old, new in zip(baseline, this, strict=True)]
    quartiles = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    )
    return (
        f"| {level} | {title} | {statistics.median(baseline):.1f} | {statistics.median(this):.1f} "
        f"| {quartiles[1]:.2f} | {quartiles[0]:.2f} to {quartiles[2]:.2f} |"
    )


if __name__ == "__main__":
    main()
