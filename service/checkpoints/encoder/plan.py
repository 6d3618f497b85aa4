"""The plan of an imported encoder: which file gives which tensor, and whether all are there."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.checkpoints.encoder.completeness import check_tensors, expected_shapes
from service.checkpoints.encoder.source import Source
from service.checkpoints.encoder.tensors import add_initial_ln_vision, interpolate_positions
from service.checkpoints.layouts.eva_vit import derive_vit_shape
from service.checkpoints.layouts.minigpt4 import ORIGINAL_MODEL
from service.checkpoints.layouts.qformer import derive_qformer_shape
from service.errors import CheckpointError
from service.families import PATCHES_PER_TOKEN, Family
from service.model_folder.vision_config import QFormerShape, VisionConfig, ViTShape
from service.tensors.lazy_tensor import LazyTensor

POSITIONS = "vit.embeddings.position_embedding"


@dataclass(frozen=True)
class SizeOptions:
    """Sizes that the tensors do not show; None means the published ones."""

    vit_heads: int | None = None
    vit_layers: int | None = None
    qformer_heads: int | None = None


@dataclass(frozen=True)
class EncoderPlan:
    """A complete, checked encoder whose tensors are not loaded yet."""

    config: VisionConfig
    tensors: Mapping[str, LazyTensor]


def plan_encoder(
    family: Family,
    vit: Source,
    qformer: Source | None,
    projection: Source,
    options: SizeOptions,
) -> EncoderPlan:
    """Combine the files as the original does; a later file replaces tensors of an earlier one.

    The order is ViT, Q-Former, checkpoint.

    Raises:
        CheckpointError: tensors are missing or have the wrong shape (all are named), or the
            projection belongs to another family.
    """
    tensors = _combine(vit, qformer, projection)
    _require_projection(projection)
    try:
        vit_shape, qformer_shape = _derive_shapes(tensors, vit, qformer, options)
        config = _make_config(family, vit_shape, qformer_shape, projection)
        expected = expected_shapes(config)
    except ValueError as error:
        # pydantic refuses sizes that are not positive, transformers heads that do not divide a
        # width.
        raise CheckpointError(f"An encoder of these sizes cannot be built: {error}") from error
    if POSITIONS in tensors and POSITIONS not in projection.renamed.tensors:
        tensors[POSITIONS] = interpolate_positions(tensors[POSITIONS], config.patches)
    if not family.uses_qformer:
        add_initial_ln_vision(tensors, config.vit.hidden_size)
    sources = [source for source in (vit, qformer, projection) if source is not None]
    check_tensors(expected, tensors, sources)
    return EncoderPlan(config, {name: tensors[name] for name in expected})


def _combine(vit: Source, qformer: Source | None, projection: Source) -> dict[str, LazyTensor]:
    tensors = {name: lazy for name, lazy in vit.renamed.tensors.items() if name.startswith("vit.")}
    if qformer is not None:
        # A ViT in a file of the original's format replaces the given one, because the original
        # loads the whole file. A ViT in a Hugging Face folder that was given only for its Q-Former
        # does not.
        tensors |= {
            name: lazy
            for name, lazy in qformer.renamed.tensors.items()
            if qformer.table is ORIGINAL_MODEL or not name.startswith("vit.")
        }
    return tensors | projection.renamed.tensors


def _require_projection(projection: Source) -> None:
    weight = projection.renamed.tensors.get("projection.weight")
    if weight is None or len(weight.shape) != 2:
        raise CheckpointError(
            f"{projection.path} holds no projection (llama_proj.weight): it is not the checkpoint that "
            "MiniGPT-4's configuration calls `ckpt`. The ViT, the Q-Former and the language model are "
            "other files."
        )


def _derive_shapes(
    tensors: Mapping[str, LazyTensor], vit: Source, qformer: Source | None, options: SizeOptions
) -> tuple[ViTShape, QFormerShape | None]:
    vit_shape = derive_vit_shape(
        tensors,
        runs_last_layer=vit.runs_last_layer,
        heads=options.vit_heads or vit.vit_heads,
        layers=options.vit_layers,
    )
    if qformer is None:
        return vit_shape, None
    return vit_shape, derive_qformer_shape(tensors, options.qformer_heads or qformer.qformer_heads)


def _make_config(
    family: Family, vit: ViTShape, qformer: QFormerShape | None, projection: Source
) -> VisionConfig:
    outputs, inputs = projection.renamed.tensors["projection.weight"].shape
    grouped = PATCHES_PER_TOKEN * vit.hidden_size
    features = qformer.hidden_size if qformer else grouped
    if inputs != features:
        if qformer and inputs == grouped:
            advice = (
                "It belongs to a family without a Q-Former: import it as minigpt4-llama2 or "
                "minigpt-v2."
            )
        elif not qformer and inputs < grouped:
            advice = "It seems to belong to a family with a Q-Former: import it as minigpt4-vicuna."
        else:
            advice = "The files do not belong together."
        raise CheckpointError(
            f"{projection.path}: the projection reads {inputs} features, but {family.name} with these "
            f"files has {features}. {advice}"
        )
    return VisionConfig(image_size=family.image_size, vit=vit, qformer=qformer, hidden_size=outputs)
