"""Measure the processor time of the service itself, by the role of its processes.

``python -m loadtests.front_end`` starts the real service with a stub engine and a stub encoder
(:mod:`loadtests.stubs`), which take as long as a GPU and compute nothing. Clients send pictures
over HTTP and check each answer. The printed figures are the cost and the speed of everything except
the models. No GPU is needed. ``--short`` takes half a minute and checks that no answer is lost or
belongs to another request.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from loadtests import front_end_client as client
from loadtests.client_processes import call_each, open_client_processes
from loadtests.observe import ENCODER_METRICS, cpu_by_role, read_metrics
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
        own = sum(ms for role, ms in self.cpu_ms.items() if role not in ("engine", "client"))
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
    with open_client_processes(count) as pools:

        def ask(requests: int, first: int) -> tuple[list[client.Outcome], dict[str, float]]:
            share = requests // count
            args = (str(folder.tokenizer), level.tokens, level.images)
            seeds = [(*args, first + index * share, share) for index in range(count)]
            for ready in call_each(pools, client.prepare, seeds):
                ready.result()
            before = _observe(url, pid)
            chat = (f"{url}/v1/chat/completions", level.streams // count, level.tokens)
            outcomes = [run.result() for run in call_each(pools, client.run, [chat] * count)]
            return outcomes, {
                name: value - before.get(name, 0.0) for name, value in _observe(url, pid).items()
            }

        ask(max(count, level.streams), seed + 500_000)
        return summarise(processes, level, *ask(level.requests, seed))


def _observe(url: str, pid: int) -> dict[str, float]:
    return cpu_by_role(pid) | read_metrics(url, ENCODER_METRICS)


def summarise(
    processes: int, level: Level, outcomes: Sequence[client.Outcome], used: dict[str, float]
) -> Figures:
    """Compute the figures of a level from the differences in processor time and metrics."""
    first = np.array([s for outcome in outcomes for s in outcome.first_token] or [0.0]) * 1000
    seconds, images, batches = (used.pop(name) for name in ENCODER_METRICS)
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


if __name__ == "__main__":
    main()
