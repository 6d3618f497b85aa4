"""Measure everything that needs a GPU in one script: random weights, no network.

``python -m loadtests.gpu --out results/gpu`` needs vLLM's CUDA wheel, a C compiler (Triton's
kernels need one) and this project. Only one size is on the disk at a time: 15 GB for 7B and as much
again for vLLM's BLIP-2, 28 GB for 13B. ``--parts``, ``--sizes`` and ``--keep`` divide the work into
several runs; the report covers all stored records.

``--dry-run`` runs the same code with tiny weights on any machine, one request at a time, to test
the script. Its figures mean nothing.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import psutil
from vllm.platforms import current_platform

from loadtests import bench, encoder_speed, gpu_report, report
from loadtests.client import Client
from loadtests.systems import EAGER, GPU, Started, started
from loadtests.traffic import WORKLOADS, Messages
from loadtests.usage import Usage
from service.checkpoints.random_model import init_model
from service.errors import ServiceError
from service.model_folder.layout import INDEX_FILE, ModelFolder

FAMILY = "minigpt4-vicuna"
PARTS = ("encoder", "serve", "compare")
ON_GPU = not current_platform.is_cpu()
FLAGS = GPU if ON_GPU else EAGER
COMPARED_TOKENS, SERVED_TOKENS = 32, 128
PREPARED = 16
"""Requests of each user that are made before a run. To draw a picture takes the client 1.5 ms, and
it reads no answers meanwhile."""


@dataclass(frozen=True)
class Plan:
    """The plan of the measurement.

    Attributes:
        batches: Batch sizes of the encoder alone.
        served: Levels of concurrency of the service alone.
        compared: Levels of the comparison.
        one_by_one: Levels of the system that answers one after the other, whose throughput is the
            same at every level and whose queue takes minutes to empty at high ones.
        seconds: Length of a run; a third of it is warmed up before.
    """

    batches: tuple[int, ...] = encoder_speed.BATCHES
    encoder_seconds: float = encoder_speed.SECONDS
    served: tuple[int, ...] = (1, 4, 16, 64, 256)
    compared: tuple[int, ...] = (1, 16, 64, 256)
    one_by_one: tuple[int, ...] = (1, 16)
    seconds: float = 20.0


FULL = Plan()
DRY = Plan((1, 2), 0.2, (1,), (1,), (1,), 3.0)


@dataclass(frozen=True)
class Load:
    """Runs of one system: ``title`` is their name in the records, which go to ``folder``."""

    folder: Path
    title: str
    workload: str
    tokens: int
    levels: tuple[int, ...]


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--dry-run", action="store_true", help="tiny weights, one at a time")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--sizes",
        nargs="+",
        default=["7b", "13b"],
        help="the first is also that of the encoder and of the comparison",
    )
    parser.add_argument("--systems", nargs="+", choices=bench.SYSTEMS, default=bench.SYSTEMS)
    parser.add_argument("--keep", action="store_true", help="leave the models on the disk")
    return parser.parse_args()


def main() -> None:
    """Measure encoder, service and comparison for each size; exit with the list of failures."""
    asked = options()
    plan, sizes = (DRY, ["tiny"]) if asked.dry_run else (FULL, asked.sizes)
    prepare_environment()
    asked.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for size in sizes:
        parts = asked.parts if size == sizes[0] else [p for p in asked.parts if p == "serve"]
        if not parts:
            continue
        folder = model(asked.out, size)
        if "encoder" in parts:
            failed += measure_encoder(folder, plan, asked.out / "encoder.json")
        for name in asked.systems:
            failed += measure_system(name, folder, plan, loads(name, size, parts, plan, asked.out))
        if not asked.keep:
            for written in (folder.root, *asked.out.glob("blip2-*")):
                shutil.rmtree(written)
    gpu_report.write(asked.out)
    if failed:
        sys.exit("\n".join(["Failed:", *failed]))


def prepare_environment() -> None:
    """Exit now if kernels cannot be compiled: a start would fail only after minutes."""
    if ON_GPU and not any(map(shutil.which, ("cc", "gcc", "clang"))) and "CC" not in os.environ:
        sys.exit("Triton compiles its kernels' launchers: install a C compiler (gcc).")
    if not shutil.which("nvcc"):
        # FlashInfer compiles its sampler with nvcc when the engine starts. Triton's sampler does
        # not need nvcc.
        os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")


def model(out: Path, size: str) -> ModelFolder:
    """Write a random model folder; use an existing one again."""
    folder = out / f"model-{size}"
    if not (folder / INDEX_FILE).exists():
        shutil.rmtree(folder, ignore_errors=True)  # an incomplete folder
        print(f"Writing random weights, {size}", flush=True)
        init_model(folder, FAMILY, size)
        if size == "tiny":
            enlarge_vocabulary(Path(ModelFolder.open(folder).language_model))
    return ModelFolder.open(folder)


def enlarge_vocabulary(folder: Path) -> None:
    """Enlarge the vocabulary beyond the tokenizer's, as in the large random models."""
    from transformers import LlamaForCausalLM

    llama = LlamaForCausalLM.from_pretrained(folder)
    llama.resize_token_embeddings(3 * llama.config.vocab_size, mean_resizing=False)
    llama.save_pretrained(folder)


def measure_encoder(folder: ModelFolder, plan: Plan, file: Path) -> list[str]:
    """Measure the encoder in its own process, which frees the GPU; return the failures."""
    print("encoder", flush=True)
    batches = [str(batch) for batch in plan.batches]
    words = [str(folder.root), str(file), "--seconds", str(plan.encoder_seconds)]
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.encoder_speed", *words, "--batches", *batches],
        check=False,
    )
    return [f"encoder: ended with status {done.returncode}"] if done.returncode else []


def loads(name: str, size: str, parts: list[str], plan: Plan, out: Path) -> list[Load]:
    """Return the flags of a system."""
    given = []
    if name == "service" and "serve" in parts:
        given.append(Load(out, size, "unique", SERVED_TOKENS, plan.served))
    if "compare" in parts:
        levels = plan.one_by_one if name == "original" else plan.compared
        given += [
            Load(out / "compare", workload, workload, COMPARED_TOKENS, levels)
            for workload in ("unique", "seen")
        ]
    return given


def measure_system(name: str, folder: ModelFolder, plan: Plan, given: list[Load]) -> list[str]:
    """Start a system on the empty GPU and run its loads; return the failures."""
    if not given:
        return []
    work, failed = folder.root.parent, []
    given[-1].folder.mkdir(parents=True, exist_ok=True)
    try:
        print(f"Starting {name}", flush=True)
        log = work / f"{name}-{folder.root.name}.log"
        with started(name, folder, work, *FLAGS.get(name, ()), log=log) as system:
            for load, record in records(system, given, plan.seconds):
                print(name, load.title, record["concurrency"], len(record["samples"]), flush=True)
                if report.good(record):
                    bytes_ = language_model_bytes(folder)
                    bench.keep_run(load.folder, {"system": name, "model_bytes": bytes_, **record})
                else:
                    failed.append(f"{name}, {load.title}, {record['concurrency']}: no answers")
    except (RuntimeError, OSError, ServiceError, psutil.Error) as error:
        failed.append(f"{name}: {error}")
    return failed


def records(
    system: Started, given: list[Load], seconds: float
) -> Iterator[tuple[Load, dict[str, Any]]]:
    """Yield a record for each load and level."""
    for load in given:
        client = Client(system.url, system.model, load.tokens)
        for level in load.levels:
            requests = prepared(WORKLOADS[load.workload](next(bench.SEEDS)), PREPARED * level)
            asyncio.run(client.closed(requests, level, seconds / 3))
            with Usage(system.pid) as usage:
                run = asyncio.run(client.closed(requests, level, seconds))
            used = {"cpu_seconds": usage.cpu_seconds, "peak_bytes": usage.peak_bytes}
            yield load, {"workload": load.title, "concurrency": level, **used, **run.raw()}


def prepared(requests: Iterator[Messages], number: int) -> Iterator[Messages]:
    """Return the same requests, and make the first ``number`` of them now."""
    return chain(list(islice(requests, number)), requests)


def language_model_bytes(folder: ModelFolder) -> int:
    """Return the bytes of the weights, which each decoding step reads."""
    files = Path(folder.language_model).glob("*.safetensors")
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    main()
