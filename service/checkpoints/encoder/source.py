"""The files and folders that an encoder is imported from, opened and renamed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from service.checkpoints.encoder.tensors import join_qkv_biases
from service.checkpoints.layouts.blip2_folder import BLIP2_FOLDER, read_blip2_config
from service.checkpoints.layouts.eva_vit import EVA_VIT
from service.checkpoints.layouts.minigpt4 import ORIGINAL_MODEL
from service.checkpoints.layouts.name_table import NameTable, RenamedTensors, rename_tensors
from service.checkpoints.layouts.qformer import find_other_origin
from service.checkpoints.lora import is_lora
from service.errors import CheckpointError
from service.tensors.reading import Checkpoint, read_checkpoint

Role = Literal["vit", "qformer", "projection"]


@dataclass
class Source:
    """One file or folder, with its tensors renamed.

    Attributes:
        role: What the user gave it as.
        runs_last_layer: Whether the last layer of a ViT in it is run; not so in ``eva_vit_g.pth``.
        vit_heads, qformer_heads: From a configuration beside the tensors; None without one.
        warnings: For the user.
    """

    role: Role
    path: Path
    checkpoint: Checkpoint
    table: NameTable
    renamed: RenamedTensors
    runs_last_layer: bool = True
    vit_heads: int | None = None
    qformer_heads: int | None = None
    warnings: list[str] = field(default_factory=list)


def open_vit(path: Path) -> Source:
    """Open ``eva_vit_g.pth``, or a Hugging Face BLIP-2 folder."""
    if path.is_dir():
        return _open_blip2_folder("vit", path)
    source = _open("vit", path, EVA_VIT)
    source.runs_last_layer = False
    return source


def open_qformer(path: Path) -> Source:
    """Open ``blip2_pretrained_flant5xxl.pth``, or a Hugging Face BLIP-2 or InstructBLIP folder."""
    if path.is_dir():
        return _open_blip2_folder("qformer", path)
    source = _open("qformer", path, ORIGINAL_MODEL)
    source.warnings += _warn_of_origin(find_other_origin(source.checkpoint.tensors))
    return source


def open_projection(path: Path) -> Source:
    """Open a MiniGPT-4 checkpoint."""
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder; --projection takes MiniGPT-4's checkpoint file."
        )
    return _open("projection", path, ORIGINAL_MODEL)


def _open(role: Role, path: Path, table: NameTable) -> Source:
    checkpoint = read_checkpoint(path)
    tensors = {name: lazy for name, lazy in checkpoint.tensors.items() if not is_lora(name)}
    renamed = rename_tensors(tensors, table)
    renamed.tensors = join_qkv_biases(renamed.tensors)
    _refuse_foreign_tensors(path, renamed)
    return Source(role, path, checkpoint, table, renamed)


def _open_blip2_folder(role: Role, path: Path) -> Source:
    config = read_blip2_config(path)
    source = _open(role, path, BLIP2_FOLDER)
    source.vit_heads, source.qformer_heads = config.vit_heads, config.qformer_heads
    source.checkpoint.files.insert(0, path / "config.json")
    if role != "qformer":
        return source
    if config.model_type == "instructblip":
        source.warnings.append(
            "The Q-Former is InstructBLIP's, which was trained further: MiniGPT-4's published "
            "projections were trained with BLIP-2's."
        )
    else:
        source.warnings += _warn_of_origin(config.other_origin)
    return source


def _warn_of_origin(other_origin: str | None) -> list[str]:
    if other_origin is None:
        return []
    return [
        f"The Q-Former is from another BLIP-2 model, trained with {other_origin}. MiniGPT-4's published "
        "projections were trained with the Q-Former of BLIP-2 with FLAN-T5 XXL, "
        "blip2_pretrained_flant5xxl.pth."
    ]


def _refuse_foreign_tensors(path: Path, renamed: RenamedTensors) -> None:
    if renamed.foreign:
        found = "; ".join(
            f"{kind}: {', '.join(names[:3])}" for kind, names in renamed.foreign.items()
        )
        raise CheckpointError(f"{path} holds another kind of ViT, not EVA ViT-g ({found}).")
