"""Measures an import at full size, with random weights in the published layouts.

``python -m tests.checkpoints.full_size FOLDER --family minigpt4-vicuna --llm-width 4096``: writes the
files (7 GiB of disk), imports them, then loads and encodes in float32 and bfloat16, each step in a
process of its own. Prints seconds and peak memory. The language model is one layer: it is not measured.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from service.families import FAMILIES
from tests.checkpoints.published import Sizes, publish

IMPORT = """
import sys, time
from service.cli import main
start = time.perf_counter()
main(sys.argv[1:])
print(f"import: {time.perf_counter() - start:.1f} s")
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
from tests.checkpoints.memory import peak_bytes
print(f"  peak memory {peak_bytes() / 2**30:.2f} GiB")
"""


def _written(folder: Path, family: str, sizes: Sizes) -> list[str]:
    return publish(folder, family, sizes).arguments


def run() -> None:
    """Measure one family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--family", choices=FAMILIES, default="minigpt4-vicuna")
    parser.add_argument("--llm-width", type=int, default=4096, help="4096 is 7B, 5120 is 13B")
    arguments = parser.parse_args()
    sizes = Sizes(
        vit_width=1408,
        vit_mlp=6144,
        vit_layers=39,
        qformer_width=768,
        qformer_mlp=3072,
        qformer_layers=12,
        words=30523,
        llama_width=arguments.llm_width,
        llama_layers=1,
        llama_heads=arguments.llm_width // 128,
    )
    # In a process of its own, so that its memory is not the next one's.
    with ProcessPoolExecutor(1, get_context("spawn")) as writer:
        command = writer.submit(
            _written, arguments.folder / "files", arguments.family, sizes
        ).result()
    model = str(arguments.folder / "model")
    for script, words in (
        (IMPORT, ["import", model, *command]),
        (ENCODE, [model, "float32"]),
        (ENCODE, [model, "bfloat16"]),
    ):
        subprocess.run([sys.executable, "-c", script + PEAK, *words], check=True)


if __name__ == "__main__":
    run()
