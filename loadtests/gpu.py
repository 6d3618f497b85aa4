"""Everything to be measured on a GPU in one run, without a network: random weights at published sizes.

``python -m loadtests.gpu --out results/gpu`` needs vLLM's CUDA wheel and this project. ``--dry-run`` goes
the same ways with tiny weights on whatever there is, to see that the script works; its figures mean
nothing.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

import torch

from loadtests import bench, report
from loadtests.client import Client
from loadtests.systems import started
from loadtests.traffic import WORKLOADS
from loadtests.usage import Usage
from service.model_folder.initialise import init_model
from service.model_folder.layout import ModelFolder
from service.vision.config import VisionConfig
from service.vision.encoder import TorchEncoder, choose_device, choose_dtype

FAMILY = "minigpt4-vicuna"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
CONCURRENCIES = (1, 4, 16, 64, 256)
REPEATS = 10


def main() -> None:
    """Encoder, then a service at each size, then the comparison at 7B."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument(
        "--dry-run", action="store_true", help="tiny weights; no service is started"
    )
    parser.add_argument("--sizes", nargs="+", default=["7b", "13b"])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    sizes = ["tiny"] if asked.dry_run else asked.sizes
    folders = {size: model(asked.out, size) for size in sizes}
    rows = encoder_rows(folders[sizes[0]], BATCHES[:2] if asked.dry_run else BATCHES)
    bench.keep(asked.out / "encoder.json", {"device": device_name(), "rows": rows})
    print(json.dumps(rows, indent=1))
    if asked.dry_run:
        return
    for size, folder in folders.items():
        serve(folder, size, asked.out)
    compare(folders[sizes[0]], asked.out / "compare")


def model(out: Path, size: str) -> ModelFolder:
    """A random model folder, made once."""
    folder = out / f"model-{size}"
    if not (folder / "model_index.json").exists():
        init_model(folder, FAMILY, size)
    return ModelFolder.open(folder)


def encoder_rows(folder: ModelFolder, batches: tuple[int, ...]) -> list[dict[str, float]]:
    """Images a second by batch size, and the share of what matrix products reach on this device."""
    device = choose_device("auto")
    config = VisionConfig.load(folder.vision / "config.json")
    encoder = TorchEncoder(folder.vision, config, device, choose_dtype("auto", device), batches)
    encoder.startup()
    peak = measured_peak(device)
    work = flops(config)
    rows = []
    for batch in batches:
        side = config.image_size
        pixels = torch.zeros(batch, side, side, 3, dtype=torch.uint8)
        encoder.encode(pixels)
        begin = time.perf_counter()
        for _ in range(REPEATS):
            encoder.encode(pixels)
        speed = REPEATS * batch / (time.perf_counter() - begin)
        rows.append({"batch": batch, "images_per_second": speed, "of_peak": speed * work / peak})
    return rows


def flops(config: VisionConfig) -> float:
    """Floating-point operations of one image in the ViT, 2 for each multiply-add; the rest is small."""
    vit, tokens = config.vit, config.patches + 1
    weights = 4 * vit.hidden_size**2 + 2 * vit.hidden_size * vit.intermediate_size
    attention = 2 * tokens * vit.hidden_size
    patches = config.patches * 3 * vit.patch_size**2 * vit.hidden_size
    return float(2 * (vit.num_hidden_layers * tokens * (weights + attention) + patches))


def measured_peak(device: torch.device) -> float:
    """FLOP/s of a large matrix product in the encoder's dtype: the roofline to compare with."""
    side = 8192 if device.type == "cuda" else 512
    dtype = choose_dtype("auto", device)
    left = torch.ones(side, side, dtype=dtype, device=device)
    for _ in range(2):
        left @ left
    synchronise(device)
    begin = time.perf_counter()
    for _ in range(REPEATS):
        left @ left
    synchronise(device)
    return REPEATS * 2 * side**3 / (time.perf_counter() - begin)


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name() -> str:
    """What this ran on."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def serve(folder: ModelFolder, size: str, out: Path) -> None:
    """Time to first token and tokens a second of the service at every concurrency."""
    with started("service", folder, out) as system:
        client = Client(system.url, system.model, tokens=128)
        for concurrency in CONCURRENCIES:
            requests = WORKLOADS["unique"](next(bench.SEEDS))
            asyncio.run(client.closed(requests, concurrency, 3))
            with Usage(system.pid) as usage:
                run = asyncio.run(client.closed(requests, concurrency, 30))
            record: dict[str, Any] = {
                "system": "service",
                "workload": size,
                "concurrency": concurrency,
                "cpu_seconds": usage.cpu_seconds,
                "peak_bytes": usage.peak_bytes,
                **run.raw(),
            }
            bench.keep(out / f"service-{size}-{concurrency}.json", record)
    print(report.table(report.load(out), size))


def compare(folder: ModelFolder, out: Path) -> None:
    """The three systems at one size, one after the other: each takes the whole GPU's memory."""
    out.mkdir(parents=True, exist_ok=True)
    options = argparse.Namespace(seconds=20, concurrency=[1, 16, 64, 256])
    for name in bench.SYSTEMS:
        with started(name, folder, out) as system:
            for record in bench.closed_loop({name: system}, options, ["unique", "seen"]):
                bench.keep_run(out, record)
    report.write(out)


if __name__ == "__main__":
    main()
