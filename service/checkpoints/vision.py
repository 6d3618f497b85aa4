"""The vision encoder of an import: which file gives which tensor, and whether they are all there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from service.checkpoints.blip2_hub import BLIP2_HUB, read_facts
from service.checkpoints.eva import VIT, fit_positions, join_biases, vit_shape
from service.checkpoints.language_model import shortened
from service.checkpoints.lora import is_lora
from service.checkpoints.names import NameTable, Translation, translate
from service.checkpoints.projection import ORIGINAL_MODEL
from service.checkpoints.qformer import other_origin, qformer_shape
from service.errors import CheckpointError
from service.families import PATCHES_PER_TOKEN, Family
from service.model_folder.vision_config import QFormerShape, VisionConfig, ViTShape
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import Checkpoint, read_checkpoint
from service.vision.model import VisionEncoder

POSITIONS = "vit.embeddings.position_embedding"


@dataclass(frozen=True)
class SizeOptions:
    """Sizes that tensors cannot tell, where they are not the published ones."""

    vit_heads: int | None = None
    vit_layers: int | None = None
    qformer_heads: int | None = None


@dataclass
class Source:
    """One file or folder, with its tensors renamed.

    Attributes:
        role: ``vit``, ``qformer`` or ``projection``.
        all_layers_run: Whether every ViT block in it is run; not so in ``eva_vit_g.pth``.
    """

    role: str
    path: Path
    checkpoint: Checkpoint
    table: NameTable
    translation: Translation
    all_layers_run: bool = True
    vit_heads: int | None = None
    qformer_heads: int | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VisionPlan:
    """A complete and checked vision encoder, not yet read."""

    config: VisionConfig
    tensors: Mapping[str, LazyTensor]


def open_vit(path: Path) -> Source:
    """``eva_vit_g.pth``, or a Hugging Face BLIP-2 folder."""
    if path.is_dir():
        return _open_hub_folder("vit", path)
    source = _open("vit", path, VIT)
    source.all_layers_run = False
    return source


def open_qformer(path: Path) -> Source:
    """``blip2_pretrained_flant5xxl.pth``, or a Hugging Face BLIP-2 or InstructBLIP folder."""
    if path.is_dir():
        return _open_hub_folder("qformer", path)
    source = _open("qformer", path, ORIGINAL_MODEL)
    source.warnings += _about_origin(other_origin(source.checkpoint.tensors))
    return source


def _about_origin(other: str | None) -> list[str]:
    if other is None:
        return []
    return [
        f"The Q-Former is of another BLIP-2, {other}: MiniGPT-4's published projections were trained "
        "on FLAN-T5 XXL's, blip2_pretrained_flant5xxl.pth."
    ]


def open_projection(path: Path) -> Source:
    """A MiniGPT-4 checkpoint."""
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder; --projection takes MiniGPT-4's checkpoint file."
        )
    return _open("projection", path, ORIGINAL_MODEL)


def _open(role: str, path: Path, table: NameTable) -> Source:
    checkpoint = read_checkpoint(path)
    others = {name: entry for name, entry in checkpoint.tensors.items() if not is_lora(name)}
    translation = translate(others, table)
    translation.tensors = join_biases(translation.tensors)
    _refuse_foreign(path, translation)
    return Source(role, path, checkpoint, table, translation)


def _open_hub_folder(role: str, path: Path) -> Source:
    facts = read_facts(path)
    source = _open(role, path, BLIP2_HUB)
    source.vit_heads, source.qformer_heads = facts.vit_heads, facts.qformer_heads
    source.checkpoint.files.insert(0, path / "config.json")
    if role != "qformer":
        return source
    if facts.model_type == "instructblip":
        source.warnings.append(
            "The Q-Former is InstructBLIP's, which was trained further: MiniGPT-4's published "
            "projections were trained on BLIP-2's."
        )
    else:
        source.warnings += _about_origin(facts.other_origin)
    return source


def _refuse_foreign(path: Path, translation: Translation) -> None:
    if translation.foreign:
        found = "; ".join(
            f"{why}: {', '.join(names[:3])}" for why, names in translation.foreign.items()
        )
        raise CheckpointError(f"{path} belongs to another kind of ViT, not EVA ViT-g ({found}).")


def plan_vision(
    family: Family,
    vit: Source,
    qformer: Source | None,
    projection: Source,
    options: SizeOptions,
) -> VisionPlan:
    """Put the encoder together as the original does: ViT, then Q-Former file, then checkpoint over both.

    Raises:
        CheckpointError: tensors are missing or of the wrong shape (all are named), or the projection
            belongs to another family.
    """
    tensors = {
        name: entry for name, entry in vit.translation.tensors.items() if name.startswith("vit.")
    }
    if qformer is not None:
        # An hub folder's ViT counts only where it was named as the ViT; a file in the original's
        # format is loaded over the ViT whatever it holds.
        tensors |= {
            name: entry
            for name, entry in qformer.translation.tensors.items()
            if qformer.table is ORIGINAL_MODEL or not name.startswith("vit.")
        }
    tensors |= projection.translation.tensors
    _check_projection(projection)
    try:
        config = _config(family, *_shapes(tensors, vit, qformer, options), projection)
        expected = _expected(config)
    except ValueError as error:
        # Of pydantic for a size that is none, of transformers for heads that do not divide a width.
        raise CheckpointError(f"These sizes make no encoder: {error}") from error
    if POSITIONS in tensors and POSITIONS not in projection.translation.tensors:
        tensors[POSITIONS] = fit_positions(tensors[POSITIONS], config.patches)
    if not family.uses_qformer:
        _add_initial_ln_vision(tensors, config)
    sources = [source for source in (vit, qformer, projection) if source is not None]
    return VisionPlan(config, _planned(expected, tensors, sources))


def _shapes(
    tensors: dict[str, LazyTensor], vit: Source, qformer: Source | None, options: SizeOptions
) -> tuple[ViTShape, QFormerShape | None]:
    vit_sizes = vit_shape(
        tensors,
        layers_in_file_run=vit.all_layers_run,
        heads=options.vit_heads or vit.vit_heads,
        layers=options.vit_layers,
    )
    if qformer is None:
        return vit_sizes, None
    return vit_sizes, qformer_shape(tensors, options.qformer_heads or qformer.qformer_heads)


def _expected(config: VisionConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        encoder = VisionEncoder(config)
    return {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}


def _check_projection(projection: Source) -> None:
    weight = projection.translation.tensors.get("projection.weight")
    if weight is None or len(weight.shape) != 2:
        raise CheckpointError(
            f"{projection.path} holds no projection (llama_proj.weight): it is not the checkpoint that "
            "MiniGPT-4's configuration calls `ckpt`. The ViT, the Q-Former and the language model are "
            "other files."
        )


def _config(
    family: Family, vit: ViTShape, qformer: QFormerShape | None, projection: Source
) -> VisionConfig:
    outputs, inputs = projection.translation.tensors["projection.weight"].shape
    with_qformer = qformer.hidden_size if qformer else None
    grouped = PATCHES_PER_TOKEN * vit.hidden_size
    if inputs != (with_qformer or grouped):
        if with_qformer and inputs == grouped:
            advice = (
                "It is of a family without a Q-Former: import it as minigpt4-llama2 or minigpt-v2."
            )
        elif not with_qformer and inputs < grouped:
            advice = "It seems to be of a family with a Q-Former: import it as minigpt4-vicuna."
        else:
            advice = "The files do not belong together."
        raise CheckpointError(
            f"{projection.path}: the projection reads {inputs} features; {family.name} with these "
            f"files has {with_qformer or grouped}. {advice}"
        )
    return VisionConfig(image_size=family.image_size, vit=vit, qformer=qformer, hidden_size=outputs)


def _add_initial_ln_vision(tensors: dict[str, LazyTensor], config: VisionConfig) -> None:
    # Without a Q-Former the original never loads this norm, and still applies it.
    width = config.vit.hidden_size
    ones = LazyTensor((width,), torch.float32, partial(torch.ones, width))
    zeros = LazyTensor((width,), torch.float32, partial(torch.zeros, width))
    tensors.setdefault("ln_vision.weight", ones)
    tensors.setdefault("ln_vision.bias", zeros)


def _planned(
    expected: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, LazyTensor],
    sources: Sequence[Source],
) -> dict[str, LazyTensor]:
    problems = [
        f"missing: {_original_names(name, sources)}"
        for name in sorted(expected.keys() - tensors.keys())
    ]
    problems += [
        f"{name} is {tensors[name].shape}, and should be {expected[name]}"
        for name in sorted(expected.keys() & tensors.keys())
        if tensors[name].shape != expected[name]
    ]
    if problems:
        absent = [shard.name for source in sources for shard in source.checkpoint.missing_shards]
        if absent:
            problems.append(f"shards that are not there: {', '.join(absent)}")
        raise CheckpointError("The files do not hold the whole encoder:\n  " + shortened(problems))
    return {name: tensors[name] for name in expected}


def _original_names(name: str, sources: Sequence[Source]) -> str:
    """What a missing tensor is called in the files that could hold it."""
    roles = {"vit": ("vit",), "projection": ("projection",)}.get(name.split(".")[0], ("qformer",))
    for source in sources:
        if source.role in roles:
            # The joined bias has no name of its own in the original's files.
            searched = name if source.table is BLIP2_HUB else name.replace("qkv.bias", "q_bias")
            original = source.table.original_name(searched)
            shown = original.replace("attn.q_bias", "attn.q_bias and v_bias")
            return f"{shown} in {source.path}"
    return name
