"""``make bench``: compare three ways to serve the same weights, in turns, and then a bare engine.

The raw samples go to ``results/bench/*.json``; ``report`` writes the tables and plots.
"""

import argparse
import asyncio
import json
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, repeat
from pathlib import Path
from typing import Any

import psutil
import torch

from loadtests import bare_engine, report
from loadtests.client import Client
from loadtests.systems import COMPILED, EAGER, Started, started
from loadtests.traffic import WORKLOADS, Messages
from loadtests.usage import Usage
from service.model_folder.layout import ModelFolder
from service.serve.builtin_models import resolve_model

SYSTEMS = ("service", "vllm", "original")
SEEDS = count(step=100_000)
"""Different levels use different images."""
ROUNDS = 4
"""Turns of each system in one run."""
WARM_UP_SECONDS = 2.0
PAUSE_SECONDS = 1.5
"""Pause between turns: vLLM's worker processes poll for work in a busy loop for a second."""


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--model", default="default", help="model folder with a Q-Former")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    parser.add_argument("--seconds", type=float, default=12, help="length of each run, all turns")
    parser.add_argument("--systems", nargs="+", default=[*SYSTEMS, "bare", "overload"])
    parser.add_argument("--workloads", nargs="+", default=["unique", "seen"])
    parser.add_argument("--compiled", action="store_true", help="both of vLLM's engines compiled")
    parser.add_argument("--concurrency", nargs="+", type=int, default=list(report.CONCURRENCIES))
    return parser.parse_args()


def main() -> None:
    """Measure, store the records, and write the report of all stored records."""
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    folder = resolve_model(asked.model, asked.out)
    keep(asked.out / "machine.json", machine())
    flags = COMPILED if asked.compiled else EAGER
    with ExitStack() as stack:
        systems = {
            name: stack.enter_context(started(name, folder, asked.out, *flags.get(name, ())))
            for name in SYSTEMS
            if name in asked.systems
        }
        for record in closed_loop(systems, asked, asked.workloads):
            keep_run(asked.out, record)
    if "bare" in asked.systems:
        for record in beside_the_bare_engine(folder, asked):
            keep_run(asked.out, record)
    if "overload" in asked.systems:
        overload(folder, asked)
    report.write(asked.out)


def closed_loop(
    systems: dict[str, Started], asked: argparse.Namespace, workloads: list[str]
) -> Iterator[dict[str, Any]]:
    """Run each workload at each concurrency, after a warm-up of two seconds.

    The systems take turns of ``asked.seconds / ROUNDS``, so that other work on the machine affects
    all of them.
    """
    for workload in workloads:
        for concurrency in asked.concurrency:
            turns: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
            # The workload "seen" repeats the images of the warm-up.
            seeds = repeat(next(SEEDS)) if workload == "seen" else SEEDS
            for number in range(ROUNDS + 1):
                for name in sorted(systems, reverse=number % 2 == 1):
                    time.sleep(PAUSE_SECONDS)
                    seconds = asked.seconds / ROUNDS if number else WARM_UP_SECONDS
                    requests = WORKLOADS[workload](next(seeds))
                    turn = one_turn(systems[name], requests, concurrency, seconds)
                    if number:
                        turns[name].append(turn)
            for name, done in turns.items():
                record = together(done)
                print(name, workload, concurrency, f"{len(record['samples'])} requests", flush=True)
                yield {"system": name, "workload": workload, "concurrency": concurrency, **record}


def one_turn(
    system: Started, requests: Iterator[Messages], concurrency: int, seconds: float
) -> dict[str, Any]:
    """Run one closed loop and measure the system's CPU time and memory."""
    with Usage(system.pid) as usage:
        run = asyncio.run(Client(system.url, system.model).closed(requests, concurrency, seconds))
    return {"cpu_seconds": usage.cpu_seconds, "peak_bytes": usage.peak_bytes, **run.raw()}


def together(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Join the turns to one run."""
    return {
        "cpu_seconds": sum(turn["cpu_seconds"] for turn in turns),
        "peak_bytes": max(turn["peak_bytes"] for turn in turns),
        "seconds": sum(turn["seconds"] for turn in turns),
        "samples": [sample for turn in turns for sample in turn["samples"]],
        # The report shows the difference between turns: the noise of the machine.
        "rates": [len(turn["samples"]) / turn["seconds"] for turn in turns],
    }


def beside_the_bare_engine(
    folder: ModelFolder, asked: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Measure the service's overhead: text-only requests through it and directly in the engine."""
    with started("service", folder, asked.out) as system:
        yield from closed_loop({"service": system}, asked, ["text"])
    for record in bare_engine.measure(folder, asked.concurrency, asked.seconds):
        yield {"system": "bare", "workload": "text", **record}


OVERLOAD_FLAGS = ("--max-num-seqs", "16", "--max-num-queued-reqs", "24")
"""Limits for two cores. With the defaults, which are for a GPU, hundreds of requests would wait."""


def overload(folder: ModelFolder, asked: argparse.Namespace) -> None:
    """Measure served and refused requests at saturation and at three times that rate."""
    with started("service", folder, asked.out, *OVERLOAD_FLAGS) as system:
        client = Client(system.url, system.model)
        requests = WORKLOADS["unique"](next(SEEDS))
        asyncio.run(client.closed(requests, 16, 2))
        full = asyncio.run(client.closed(requests, 16, asked.seconds))
        rate = sum(sample.ok for sample in full.samples) / full.seconds
        for factor in (0.5, 1.0, 3.0):
            run = asyncio.run(client.open(requests, factor * rate, asked.seconds))
            print(f"open loop, {factor} x {rate:.1f}/s: {len(run.samples)} requests", flush=True)
            file = asked.out / f"overload-{factor}.json"
            keep(file, {"factor": factor, "saturation": rate, **run.raw()})


def machine() -> dict[str, Any]:
    """Describe the machine."""
    return {
        "cpu": next(
            (
                line.partition(":")[2].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            ),
            platform.machine(),
        ),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_before": psutil.getloadavg(),
        "torch": torch.__version__,
    }


def keep_run(folder: Path, record: dict[str, Any]) -> None:
    """Store a record under the name that the report looks for."""
    keep(folder / "{system}-{workload}-{concurrency}.json".format(**record), record)


def keep(file: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON."""
    file.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
