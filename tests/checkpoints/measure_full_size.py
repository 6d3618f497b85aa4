"""Measure full-size vision encoders with random weights: seconds and peak memory of each step.

``python -m tests.checkpoints.measure_full_size FOLDER --family minigpt4-vicuna --size 7b`` writes
files in the published layouts (7 GiB of disk), imports them, then loads the encoder and encodes an
image in float32 and bfloat16. Each step has a process of its own. The language model has one layer,
because it is not measured.

With ``--init-model`` the folder is made by ``init-model``, with a whole language model (15 GiB of
disk at 7B, 28 GiB at 13B).
"""

import argparse
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from service.checkpoints.random_model import SIZES
from service.families import FAMILIES
from tests.published.files import publish
from tests.published.sizes import Sizes

MAKE = """
import sys, time
from service.cli import main
start = time.perf_counter()
main(sys.argv[1:])
print(f"{sys.argv[1]}: {time.perf_counter() - start:.1f} s")
"""
ENCODE = """
import sys, time
from pathlib import Path
import torch
from service.vision.weights import load_vision_encoder
folder, dtype = Path(sys.argv[1]) / "vision", sys.argv[2]
start = time.perf_counter()
encoder = load_vision_encoder(folder, getattr(torch, dtype))
print(f"{dtype}: loaded in {time.perf_counter() - start:.1f} s")
size = encoder.config.image_size
pixels = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)
with torch.inference_mode():
    for attempt in ("first", "second", "third"):
        start = time.perf_counter()
        embeddings = encoder(pixels)
        print(f"{dtype}: {attempt} image {time.perf_counter() - start:.2f} s")
    assert embeddings.isfinite().all()
    print(f"{dtype}: embeddings {tuple(embeddings.shape)}, std {embeddings.float().std():.2f}")
"""
PEAK = """
from tests.checkpoints.peak_memory import read_peak_bytes
print(f"  peak memory {read_peak_bytes() / 2**30:.2f} GiB")
"""


def _publish(folder: Path, family: str, size: str) -> list[str]:
    """Write published files; return the command line that imports them."""
    width = SIZES[size].hidden_size
    sizes = Sizes(
        vit_width=1408,
        vit_mlp=6144,
        vit_layers=39,
        qformer_width=768,
        qformer_mlp=3072,
        qformer_layers=12,
        words=30523,
        llama_width=width,
        llama_layers=1,
        llama_heads=width // 128,
    )
    return ["import", str(folder / "model"), *publish(folder / "files", family, sizes).arguments]


def run() -> None:
    """Measure one family at one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--family", choices=FAMILIES, default="minigpt4-vicuna")
    parser.add_argument("--size", choices=("7b", "13b"), default="7b")
    parser.add_argument("--init-model", action="store_true")
    arguments = parser.parse_args()
    model = str(arguments.folder / "model")
    if arguments.init_model:
        command = ["init-model", model, "--family", arguments.family, "--size", arguments.size]
    else:
        # In another process, so that its memory does not count for the next ones.
        with ProcessPoolExecutor(1, get_context("spawn")) as writer:
            command = writer.submit(
                _publish, arguments.folder, arguments.family, arguments.size
            ).result()
    for script, words in (
        (MAKE, command),
        (ENCODE, [model, "float32"]),
        (ENCODE, [model, "bfloat16"]),
    ):
        subprocess.run([sys.executable, "-c", script + PEAK, *words], check=True)


if __name__ == "__main__":
    run()
