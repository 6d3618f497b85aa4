"""Measure the vision encoder alone: images a second by batch size, and the device's limits.

``python -m loadtests.encoder_speed FOLDER FILE --batches 1 32`` writes a JSON record. It runs in
its own process, because a CUDA context and captured graphs keep their memory until their process
ends.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import VisionConfig
from service.vision.encoder import TorchEncoder, choose_device, choose_dtype

BATCHES = (1, 2, 4, 8, 16, 32, 64)
SECONDS = 2.0
"""Seconds of each measurement: long enough for the clocks to settle under load."""


def main() -> None:
    """Measure a folder's encoder and write the record."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.encoder_speed", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    asked = parser.parse_args()
    record = measure(ModelFolder.open(asked.folder), sorted(asked.batches), asked.seconds)
    asked.file.write_text(json.dumps(record, indent=1) + "\n")


def measure(folder: ModelFolder, batches: list[int], seconds: float) -> dict[str, object]:
    """Measure speeds in images/s, FLOP/s and bytes/s."""
    device = choose_device("auto")
    dtype = choose_dtype("auto", device)
    config = VisionConfig.load(folder.vision / "config.json")
    encoder = TorchEncoder(folder.vision, config, device, dtype, batches)
    encoder.startup()  # on a CPU it also sets the number of threads
    peak, work = matrix_flops(device, dtype, seconds), flops(config)
    rows = []
    for batch in batches:
        pixels = torch.randint(0, 256, (batch, *[config.image_size] * 2, 3), dtype=torch.uint8)
        images = list(pixels)
        speed = batch * calls_a_second(partial(_encode, encoder, images), device, seconds)
        rows.append({"batch": batch, "images_per_second": speed, "of_peak": speed * work / peak})
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        "dtype": str(dtype).removeprefix("torch."),
        "flops_per_image": work,
        "matrix_flops": peak,
        "memory_bytes_per_second": copy_bytes(device, seconds),
        "rows": rows,
    }


def _encode(encoder: TorchEncoder, images: list[Tensor]) -> Tensor:
    return encoder.begin(images).get()


def flops(config: VisionConfig) -> float:
    """Return the floating-point operations of the ViT for one image, 2 for each multiply-add."""
    vit, tokens = config.vit, config.patches + 1
    weights = 4 * vit.hidden_size**2 + 2 * vit.hidden_size * vit.intermediate_size
    attention = 2 * tokens * vit.hidden_size
    patches = config.patches * 3 * vit.patch_size**2 * vit.hidden_size
    return float(2 * (vit.num_hidden_layers * tokens * (weights + attention) + patches))


def matrix_flops(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Measure the FLOP/s of a large matrix product in the encoder's dtype: the roofline.

    The numbers are random: for ones or zeros, a GPU needs less power and runs at higher clocks.
    """
    side = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    work = 2 * side**3
    return work * calls_a_second(lambda: torch.mm(left, right, out=product), device, seconds)


def copy_bytes(device: torch.device, seconds: float) -> float:
    """Measure the memory's bandwidth in bytes/s, which limits the decoding of a single stream."""
    size = 2**30 if device.type == "cuda" else 2**24
    source, target = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * size * calls_a_second(lambda: target.copy_(source), device, seconds)


def calls_a_second(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return how often ``work`` runs in a second, over ``seconds`` after an equal warm-up."""
    speed = 0.0
    for _ in range(2):
        begin, calls = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begin) < seconds:
            for _ in range(10):
                work()
            calls += 10
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        speed = calls / elapsed
    return speed


if __name__ == "__main__":
    main()
