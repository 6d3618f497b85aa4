"""Measure the processor time of the service itself, by the role of its processes.

``python -m loadtests.front_end`` starts the real service with a stub engine and a stub encoder
(:mod:`loadtests.stubs`), which take as long as a GPU and compute nothing. Clients send pictures
over HTTP and check each answer. The printed figures are the cost and the speed of everything except
the models. No GPU is needed. ``--short`` takes half a minute and checks that no answer is lost or
belongs to another request.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import psutil
import torch

from loadtests import front_end_client as client
from loadtests.server_process import free_port, run_server
from loadtests.stubs.encoder import BATCH_SECONDS, IMAGE_SECONDS
from service.checkpoints.random_model import (
    TINY_VOCABULARY,
    LlamaShape,
    make_vision_config,
    write_model,
)
from service.families import FAMILIES
from service.model_folder.layout import ModelFolder

FAMILY = "minigpt4-vicuna"
LLAMA_7B = LlamaShape(4096, 11008, 32, 32, TINY_VOCABULARY, 2048)
"""The sizes of 7B, so that embeddings have their real size. The vocabulary does not matter."""

STREAMS_PER_CLIENT = 128

ROLES = (
    ("stub engine", "EngineCore"),
    ("encoder", "minigpt4-vision"),
    ("API", "minigpt4-api"),
    ("API", "loadtests.stubs.service"),
)
"""Roles, and a part of the process's title. The first match decides."""


@dataclass(frozen=True)
class Level:
    """One measurement."""

    streams: int
    requests: int
    tokens: int
    images: bool = True


FULL = (
    Level(64, 512, 64),
    Level(256, 1024, 64),
    Level(64, 512, 64, images=False),
)
SHORT = (Level(16, 48, 8), Level(16, 48, 8, images=False))


@dataclass
class Figures:
    """The result of one level.

    Attributes:
        cpu_ms: Processor milliseconds of each role for one request.
        first_token_ms: Median and 99th percentile.
        encoder_share: The device's time as a share of the time that encodings took.
        wrong: Answers that are missing, cut, or about another image.
    """

    processes: int
    streams: int
    tokens: int
    images: bool
    requests_per_second: float
    cpu_ms: dict[str, float]
    first_token_ms: tuple[float, float]
    encoder_share: float
    batch: float
    wrong: list[str]

    def __str__(self) -> str:
        roles = ", ".join(f"{role} {ms:.2f}" for role, ms in sorted(self.cpu_ms.items()))
        own = sum(ms for role, ms in self.cpu_ms.items() if role not in ("stub engine", "client"))
        lines = [
            f"{self.processes} API process(es), {self.streams} streams of {self.tokens} tokens, "
            + ("a new image each" if self.images else "text only"),
            f"  {self.requests_per_second:.1f} requests/s; first token p50 "
            f"{self.first_token_ms[0]:.0f} ms, p99 {self.first_token_ms[1]:.0f} ms",
            f"  CPU ms a request: {own:.2f} without stubs and clients "
            f"({own / self.tokens * 1000:.0f} us a token); {roles}",
        ]
        if self.images:
            lines.append(
                f"  encoder: {self.encoder_share:.0%} of its time is the device's; "
                f"{self.batch:.1f} images a batch"
            )
        return "\n".join([*lines, *(f"  WRONG: {problem}" for problem in self.wrong[:5])])


def main() -> None:
    """Measure each level with each number of API processes; exit with 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.front_end", description=__doc__)
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--short", action="store_true", help="a few requests, as a check")
    parser.add_argument("--clients", type=int, default=0, help="client processes; 0: by streams")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("flags", nargs="*", help="flags for `serve`, after --")
    asked = parser.parse_args()
    figures = []
    with TemporaryDirectory() as work:
        folder = write_folder(Path(work))
        for processes in asked.processes:
            levels = SHORT if asked.short else FULL
            for result in measure(folder, processes, levels, asked.clients, asked.flags):
                print(result, flush=True)
                figures.append(result)
    if asked.out:
        asked.out.write_text(json.dumps([asdict(result) for result in figures], indent=1) + "\n")
    if any(result.wrong for result in figures):
        sys.exit("Some answers were wrong.")


def write_folder(work: Path) -> ModelFolder:
    """Make a model folder: a tiny encoder, and a language model of 7B's sizes without weights."""
    family = FAMILIES[FAMILY]
    vision = make_vision_config(family, "tiny")
    vision = vision.model_copy(update={"hidden_size": LLAMA_7B.hidden_size})
    folder = work / "model"
    write_model(folder, family, vision, LLAMA_7B, torch.bfloat16, language_model_weights=False)
    return ModelFolder.open(folder)


def measure(
    folder: ModelFolder,
    processes: int,
    levels: Sequence[Level],
    clients: int = 0,
    flags: Sequence[str] = (),
) -> Iterator[Figures]:
    """Start the service and run the levels; gives each result as soon as it is there."""
    with serve(folder, processes, flags) as (url, pid):
        for number, level in enumerate(levels):
            yield run_level(folder, url, pid, processes, level, clients, seed=(1 + number) * 10**6)


@contextmanager
def serve(
    folder: ModelFolder, processes: int, flags: Sequence[str] = ()
) -> Iterator[tuple[str, int]]:
    """Run the service with stubs; gives its address and process id."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *("loadtests.stubs.service", "serve", "--model", str(folder.root), "--port", str(port)),
        *("--served-model-name", "model", "--page", "false", "--dtype", "bfloat16"),
        *("--distributed-executor-backend", "loadtests.stubs.engine.StubExecutor"),
        *(("--api-server-count", str(processes)) if processes > 1 else ()),
        *flags,
    ]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", **os.environ}
    environment.pop("OMP_NUM_THREADS", None)
    log = folder.root.parent / "service.log"
    with run_server(command, f"{url}/ready", log, environment=environment) as pid:
        yield url, pid


def run_level(
    folder: ModelFolder,
    url: str,
    pid: int,
    processes: int,
    level: Level,
    clients: int = 0,
    seed: int = 10**6,
) -> Figures:
    """Run one level, after a short warm-up at the same concurrency."""
    count = clients or -(-level.streams // STREAMS_PER_CLIENT)
    streams = level.streams // count
    spawn = multiprocessing.get_context("spawn")
    chat = f"{url}/v1/chat/completions"
    with ExitStack() as stack:
        pools = [
            stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for _ in range(count)
        ]

        def ask(requests: int, first: int) -> list[client.Outcome]:
            share = requests // count
            args = (str(folder.tokenizer), level.tokens, level.images)
            for pool in [
                pool.submit(client.prepare, *args, first + index * share, share)
                for index, pool in enumerate(pools)
            ]:
                pool.result()
            _mark(before)
            running = [pool.submit(client.run, chat, streams, level.tokens) for pool in pools]
            return [future.result() for future in running]

        def _mark(into: dict[str, float]) -> None:
            into.clear()
            into.update(cpu_by_role(pid))
            for name in METRICS:
                into[name] = read_metric(url, name)

        before: dict[str, float] = {}
        after: dict[str, float] = {}
        ask(max(count, level.streams), seed + 500_000)
        outcomes = ask(level.requests, seed)
        _mark(after)
    used = {name: after[name] - before.get(name, 0.0) for name in after}
    return summarise(processes, level, outcomes, used)


METRICS = tuple(
    f"minigpt4_encoder_{name}"
    for name in ("encode_seconds_sum", "batch_size_sum", "batch_size_count")
)


def summarise(
    processes: int, level: Level, outcomes: Sequence[client.Outcome], used: dict[str, float]
) -> Figures:
    """Compute the figures of a level from the differences in processor time and metrics."""
    first = np.array([s for outcome in outcomes for s in outcome.first_token] or [0.0]) * 1000
    seconds, images, batches = (used.pop(name) for name in METRICS)
    device = BATCH_SECONDS * batches + IMAGE_SECONDS * images
    requests = sum(len(outcome.finished) for outcome in outcomes)
    wrong = [problem for outcome in outcomes for problem in outcome.wrong]
    if level.images and images != requests:
        wrong.append(f"{images:.0f} images were encoded for {requests} requests")
    return Figures(
        processes=processes,
        streams=level.streams,
        tokens=level.tokens,
        images=level.images,
        requests_per_second=requests / max(outcome.seconds for outcome in outcomes),
        cpu_ms={role: s * 1000 / max(1, requests) for role, s in used.items()},
        first_token_ms=(float(np.percentile(first, 50)), float(np.percentile(first, 99))),
        encoder_share=device / seconds if seconds else 0.0,
        batch=images / batches if batches else 0.0,
        wrong=wrong,
    )


def cpu_by_role(pid: int) -> dict[str, float]:
    """Processor seconds of a service's processes so far, by role."""
    seconds: dict[str, float] = {}
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            times = process.cpu_times()
            role = role_of(process, root)
            seconds[role] = seconds.get(role, 0.0) + times.user + times.system
    return seconds


def role_of(process: psutil.Process, root: psutil.Process) -> str:
    """The role of a process by its title."""
    title = " ".join([process.name(), *process.cmdline()])
    if process == root and any("minigpt4-api" in child.name() for child in root.children()):
        return "supervisor"
    return next((role for role, part in ROLES if part in title), "other")


def read_metric(url: str, name: str) -> float:
    """Sum of a Prometheus series."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith((f"{name} ", f"{name}{{"))
    )


if __name__ == "__main__":
    main()
