"""The memory of an import stays near a few tensors, whatever the size of the files."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from tests.published.files import PublishedFiles, publish
from tests.published.llama_folder import write_llama
from tests.published.sizes import Sizes

Get = Callable[[str], PublishedFiles]

MEASURE = """
import sys
from pathlib import Path
from service.checkpoints.import_plan import plan_import
from service.checkpoints.import_request import ImportRequest
from service.checkpoints.import_writer import write_import
from service.vision.model import VisionEncoder
from tests.checkpoints.peak_memory import read_peak_bytes
before = read_peak_bytes()
request = ImportRequest(Path(sys.argv[1]), *sys.argv[2:5], vit=sys.argv[5])
write_import(plan_import(request), lambda line: None)
print(read_peak_bytes() - before)
"""
MIB = 2**20


def _measure_growth(target: Path, family: str, projection: Path, llm: Path, vit: Path) -> int:
    """Return the bytes that an import adds to the peak memory, all modules being imported."""
    parts = [target, family, projection, llm, vit]
    command = [sys.executable, "-c", MEASURE, *map(str, parts)]
    # By default glibc sometimes keeps freed tensors in its heap, so that the peak varies by several
    # of them.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(MIB)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_an_encoder_is_imported_tensor_by_tensor(tmp_path: Path, published: Get) -> None:
    """The ViT's file has about 250 MiB, its largest tensor 17 MiB."""
    width, mlp, layers = 1408, 6144, 5
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 257, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
    }
    for layer in range(layers + 1):
        shapes |= {
            f"blocks.{layer}.norm{n}.{k}": (width,) for n in "12" for k in ("weight", "bias")
        }
        shapes |= {f"blocks.{layer}.attn.{k}_bias": (width,) for k in "qv"}
        shapes |= {
            f"blocks.{layer}.attn.qkv.weight": (3 * width, width),
            f"blocks.{layer}.attn.proj.weight": (width, width),
            f"blocks.{layer}.attn.proj.bias": (width,),
            f"blocks.{layer}.mlp.fc1.weight": (mlp, width),
            f"blocks.{layer}.mlp.fc1.bias": (mlp,),
            f"blocks.{layer}.mlp.fc2.weight": (width, mlp),
            f"blocks.{layer}.mlp.fc2.bias": (width,),
        }
    vit = tmp_path / "eva_vit_g.pth"
    torch.save({name: torch.ones(shape).half() for name, shape in shapes.items()}, vit)
    projection = {"llama_proj.weight": torch.ones(64, 4 * width), "llama_proj.bias": torch.ones(64)}
    torch.save({"model": projection}, tmp_path / "p.pth")
    target, llm = tmp_path / "model", published("minigpt4-llama2").language_model
    growth = _measure_growth(target, "minigpt4-llama2", tmp_path / "p.pth", llm, vit)
    largest = mlp * width * 2
    written = (target / "vision" / "model.safetensors").stat().st_size
    assert written > 10 * largest
    assert growth < 4 * largest, f"{growth / MIB:.0f} MiB"


def test_a_language_model_is_converted_and_merged_tensor_by_tensor(tmp_path: Path) -> None:
    """The .bin files have about 400 MiB, their largest tensor 16 MiB.

    A merge needs three tensors of that size; the libraries that torch loads for its first matrix
    product need about as much.
    """
    sizes = Sizes(llama_width=2048, llama_layers=6, llama_heads=16)
    files = publish(tmp_path / "files", "minigpt-v2", sizes)
    shutil.rmtree(files.language_model)
    write_llama(files.language_model, llama2=True, sizes=sizes, binary=True)
    target = tmp_path / "model"
    growth = _measure_growth(
        target, files.family, files.projection, files.language_model, files.vit
    )
    largest = 2048 * 2048 * 4
    written = sum(file.stat().st_size for file in target.glob("language_model/*.safetensors"))
    assert written > 24 * largest
    assert growth < 8 * largest, f"{growth / MIB:.0f} MiB"
