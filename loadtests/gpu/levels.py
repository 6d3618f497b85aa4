"""Measure one load of a running server."""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import numpy as np

from loadtests.client import Run, Sample
from loadtests.client_processes import call_each, split_streams
from loadtests.gpu import clients
from loadtests.gpu.plan import Load, Timing
from loadtests.observe import ENCODER_METRICS, cpu_by_role, read_metrics
from loadtests.systems import Started

STREAMS_PER_CLIENT = 16
"""One process could drive more, but it also draws the images."""
PREPARED, PREPARED_PER_STREAM = 8, 8
_SEEDS = count(step=1_000_000)


@dataclass(frozen=True)
class Observation:
    """The state of a server at a time."""

    at: float
    cpu: dict[str, float]
    metrics: dict[str, float]


def answer_first_requests(
    system: Started, tokens: int, timing: Timing, pool: ProcessPoolExecutor
) -> None:
    """Let a new server compile the kernels of each kind of sampling, which takes seconds."""
    for sampling in ("greedy", "demo"):
        pool.submit(clients.prepare, "unique", next(_SEEDS), PREPARED).result()
        target = clients.Target(system.url, system.model, tokens, sampling, timing.timeout)
        pool.submit(clients.run, target, 2, timing.tail).result()


def measure(
    system: Started,
    load: Load,
    tokens: int,
    timing: Timing,
    pools: Sequence[ProcessPoolExecutor],
) -> dict[str, Any]:
    """Run a load and return its figures."""
    processes = min(len(pools), -(-load.streams // STREAMS_PER_CLIENT))
    shares, pools = split_streams(load.streams, processes), pools[:processes]
    _prepare(load.workload, shares, pools)
    target = clients.Target(system.url, system.model, tokens, load.sampling, timing.timeout)
    seconds = timing.warm_up + timing.level + timing.tail
    running = call_each(pools, clients.run, [(target, share, seconds) for share in shares])
    time.sleep(timing.warm_up)
    before = observe(system)
    time.sleep(timing.level)
    after = observe(system)
    runs = [future.result() for future in running]
    return {**figures(runs, timing.warm_up, timing.level), **differences(before, after)}


def _prepare(workload: str, shares: Sequence[int], pools: Sequence[ProcessPoolExecutor]) -> None:
    seed = next(_SEEDS)
    orders = [
        (workload, seed + 10_000 * number, PREPARED + PREPARED_PER_STREAM * share)
        for number, share in enumerate(shares)
    ]
    for ready in call_each(pools, clients.prepare, orders):
        ready.result()


def observe(system: Started) -> Observation:
    """Read the processor time, and the encoder's metrics if the server has them in time."""
    cpu, at = cpu_by_role(system.pid), time.monotonic()
    try:
        metrics = read_metrics(system.url, ENCODER_METRICS)
    except httpx.HTTPError:
        metrics = {}
    return Observation(at, cpu, metrics)


def figures(runs: Sequence[Run], begin: float, seconds: float) -> dict[str, Any]:
    """Compute the rates and latencies of a window.

    An answer that is only partly in the window counts in part: by the share of its time.
    """
    samples = [sample for run in runs for sample in run.samples]
    good = [sample for sample in samples if sample.ok]
    shares = [_share(sample, begin, begin + seconds) for sample in good]
    tokens = sum(share * sample.tokens for share, sample in zip(shares, good, strict=True))
    inside = [sample for sample in good if begin <= sample.begin < begin + seconds]
    first = [sample.first_token for sample in inside]
    gaps = [gap for sample in inside for gap in sample.gaps]
    return {
        "requests_per_second": round(sum(shares) / seconds, 3),
        "tokens_per_second": round(tokens / seconds, 1),
        "first_token_ms": _percentiles(first),
        "gap_ms": _percentiles(gaps),
        "statuses": dict(Counter(str(sample.status) for sample in samples)),
        "failed": len(samples) - len(good),
    }


def _share(sample: Sample, begin: float, end: float) -> float:
    inside = min(end, sample.begin + sample.seconds) - max(begin, sample.begin)
    return max(0.0, inside) / sample.seconds


def _percentiles(seconds: Sequence[float]) -> list[float] | None:
    """Return median and 99th percentile in milliseconds."""
    if not seconds:
        return None
    return [round(float(value) * 1000, 2) for value in np.percentile(seconds, (50, 99))]


def differences(before: Observation, after: Observation) -> dict[str, Any]:
    """Compute the cores of each role, and the encoder's work, between two observations."""
    seconds = after.at - before.at
    cores = {
        role: round((used - before.cpu.get(role, 0.0)) / seconds, 2)
        for role, used in after.cpu.items()
    }
    figures: dict[str, Any] = {"cores": cores}
    if before.metrics and after.metrics:
        busy, images, batches = (after.metrics[n] - before.metrics[n] for n in ENCODER_METRICS)
        if images:
            figures["encoder"] = {
                "images_per_second": round(images / seconds, 2),
                "images_per_batch": round(images / batches, 2),
                "busy": round(busy / seconds, 3),
            }
    return figures
