"""All published files of one family, written to disk."""

from dataclasses import dataclass
from pathlib import Path

import torch

from tests.published.encoder_files import (
    make_blip2_model,
    make_eva_vit,
    make_trained_model,
    make_training_checkpoint,
)
from tests.published.llama_folder import write_llama
from tests.published.random_tensors import Tensors
from tests.published.sizes import SMALL, Sizes

FAMILIES = ("minigpt4-vicuna", "minigpt4-llama2", "minigpt-v2")
IMAGE_SIZES = {"minigpt4-vicuna": 224, "minigpt4-llama2": 224, "minigpt-v2": 448}
"""Side of the encoder's input in pixels."""


@dataclass(frozen=True)
class PublishedFiles:
    """The paths of one family's files, and the tensors in them."""

    family: str
    vit: Path
    qformer: Path | None
    projection: Path
    language_model: Path
    eva: Tensors
    blip2: Tensors
    trained: Tensors

    @property
    def arguments(self) -> list[str]:
        """The arguments of ``import``, without the target folder."""
        parts = ["--family", self.family, "--vit", str(self.vit)]
        parts += ["--qformer", str(self.qformer)] if self.qformer else []
        return [*parts, "--projection", str(self.projection), "--llm", str(self.language_model)]


def publish(folder: Path, family: str, sizes: Sizes = SMALL) -> PublishedFiles:
    """Write all files of a family into ``folder``, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    eva, blip2 = make_eva_vit(sizes), make_blip2_model(sizes)
    trained = make_trained_model(family, sizes)
    files = PublishedFiles(
        family,
        folder / "eva_vit_g.pth",
        folder / "blip2_pretrained_flant5xxl.pth" if family == "minigpt4-vicuna" else None,
        folder / "pretrained_minigpt4.pth",
        folder / "llm",
        eva,
        blip2,
        trained,
    )
    torch.save(eva, files.vit)
    if files.qformer:
        torch.save({"model": blip2}, files.qformer)
    torch.save(make_training_checkpoint(trained), files.projection)
    llama2 = family != "minigpt4-vicuna"
    write_llama(files.language_model, llama2, sizes, binary=not llama2)
    return files
