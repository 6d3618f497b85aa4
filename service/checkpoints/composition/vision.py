"""The vision side of a composed model: a vision model of transformers, or that of a model folder."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig

from service.checkpoints import hub
from service.errors import CheckpointError
from service.model_folder.layout import INDEX_FILE, ModelFolder
from service.model_folder.vision_config import (
    Backbone,
    BackboneVisionConfig,
    VisionConfig,
    load_vision_config,
)
from service.vision.backbone import BackboneEncoder, find_model_class
from service.vision.weights import load_vision_encoder

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPROCESSOR = "preprocessor_config.json"

_NOT_KEPT = (
    "architectures",
    "dtype",
    "transformers_version",
    "stage_names",
    "out_features",
    "out_indices",
)
"""Values of a configuration that say nothing about the model, or that its layers imply."""


@dataclass(frozen=True)
class VisionChoice:
    """What the user chose of a vision model.

    Attributes:
        source: Path or hub id, or a model folder whose encoder is taken as it is.
        layers: Layers whose outputs are read, from 1 or, below 0, from the end.
        class_token: Whether each visual token also gets the class token.
        tokens: Visual tokens of an image; None for one per patch.
        grouping: ``mean`` or ``concatenate``.
        image_size: Side of the input in pixels; None for the model's own.
    """

    source: str
    layers: tuple[int, ...] = (-1,)
    class_token: bool = False
    tokens: int | None = None
    grouping: str = "mean"
    image_size: int | None = None


@dataclass(frozen=True)
class VisionPart:
    """A frozen vision model, ready to be written.

    Attributes:
        tensors: By their names in the encoder, without the projection.
    """

    config: VisionConfig
    tensors: Mapping[str, Tensor]
    notes: list[str] = field(default_factory=list)


def open_vision(choice: VisionChoice, hidden_size: int) -> VisionPart:
    """Load the vision model that the user chose.

    Args:
        hidden_size: Width of the language model's embeddings.

    Raises:
        CheckpointError: it cannot be loaded, lacks weights, or the choices do not fit it.
        ModelFolderError: transformers has no such vision model, or a model folder is incomplete.
    """
    local = hub.find_local(choice.source)
    if local is not None and (local / INDEX_FILE).is_file():
        return _open_model_folder(local, choice, hidden_size)
    configuration = _read_configuration(choice.source)
    preprocessor = _read_preprocessor(choice.source, local)
    notes = []
    if preprocessor is None:
        notes.append(
            f"{choice.source} has no {PREPROCESSOR}: ImageNet's pixel statistics are used."
        )
    statistics = preprocessor or {}
    config = _make_config(choice, configuration, statistics, hidden_size)
    return VisionPart(config, _load_weights(choice.source, configuration, config), notes)


def _open_model_folder(root: Path, choice: VisionChoice, hidden_size: int) -> VisionPart:
    """Take the encoder of a model folder; only its projection is left out."""
    if choice != VisionChoice(choice.source):
        raise CheckpointError(
            f"{root} is a model folder, whose encoder is taken as it is: leave out --tokens, "
            "--layers, --class-token, --grouping and --image-size."
        )
    folder = ModelFolder.open(root)
    config = load_vision_config(folder.vision)
    tensors = load_vision_encoder(folder.vision).state_dict()
    frozen = {name: t for name, t in tensors.items() if not name.startswith("projection.")}
    changed = config.model_copy(update={"hidden_size": hidden_size, "projection_layers": 1})
    return VisionPart(changed, frozen)


def _read_configuration(source: str) -> PreTrainedConfig:
    try:
        configuration = AutoConfig.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{source} is not a vision model of transformers: {error}") from error
    # CLIP, SigLIP and BLIP-2 hold a vision model beside a text model.
    vision: PreTrainedConfig = getattr(configuration, "vision_config", configuration)
    for name in ("patch_size", "num_hidden_layers", "hidden_size"):
        if not isinstance(getattr(vision, name, None), int):
            raise CheckpointError(
                f"{source} is not a vision transformer: its configuration has no {name}."
            )
    return vision


def _read_preprocessor(source: str, local: Path | None) -> dict[str, Any] | None:
    if local is None:
        local = hub.download(source, [PREPROCESSOR])
    try:
        content: dict[str, Any] = json.loads((local / PREPROCESSOR).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{local / PREPROCESSOR} cannot be read: {error}") from error
    return content


def _make_config(
    choice: VisionChoice,
    configuration: PreTrainedConfig,
    statistics: Mapping[str, Any],
    hidden_size: int,
) -> BackboneVisionConfig:
    size = choice.image_size or configuration.image_size
    patches = (size // configuration.patch_size) ** 2
    values = configuration.to_diff_dict() | {
        name: getattr(configuration, name)
        for name in ("model_type", "hidden_size", "patch_size", "num_hidden_layers", "image_size")
    }
    for name in _NOT_KEPT:
        values.pop(name, None)
    try:
        return BackboneVisionConfig(
            image_size=size,
            hidden_size=hidden_size,
            tokens=choice.tokens or patches,
            backbone=Backbone(
                config=json.loads(json.dumps(values, default=str)),
                layers=_count_layers(choice, configuration.num_hidden_layers),
                class_token=choice.class_token,
                grouping=choice.grouping,  # type: ignore[arg-type] # the model checks it
                pixel_mean=statistics.get("image_mean", IMAGENET_MEAN),
                pixel_std=statistics.get("image_std", IMAGENET_STD),
            ),
        )
    except ValidationError as error:
        reasons = "; ".join(problem["msg"] for problem in error.errors())
        raise CheckpointError(f"{choice.source} cannot be used so: {reasons}") from error


def _count_layers(choice: VisionChoice, count: int) -> tuple[int, ...]:
    """Turn the numbers of layers into numbers from 1."""
    layers = tuple(layer if layer > 0 else count + 1 + layer for layer in choice.layers)
    if not layers or min(layers) < 1 or max(layers) > count or 0 in choice.layers:
        raise CheckpointError(
            f"{choice.source} has the layers 1 to {count} (-1 is the last); --layers names others."
        )
    return layers


def _load_weights(
    source: str, configuration: PreTrainedConfig, config: BackboneVisionConfig
) -> dict[str, Tensor]:
    """Load the whole vision model; return the weights of the layers up to the last that is read."""
    try:
        loaded: Any = find_model_class(configuration).from_pretrained(
            source, config=configuration, dtype="auto", output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"The weights of {source} cannot be loaded: {error}") from error
    model, found = loaded
    # A pooling head may be missing: nothing reads it.
    lost = sorted(name for name in found["missing_keys"] if "pool" not in name)
    if lost or found["mismatched_keys"]:
        names = ", ".join([*lost, *(str(name) for name in found["mismatched_keys"])][:3])
        raise CheckpointError(f"{source} lacks weights of its vision model, such as {names}.")
    _check_input(source, config, model)
    with torch.device("meta"):
        kept = BackboneEncoder(config).state_dict().keys()
    tensors = {f"backbone.{name}": tensor for name, tensor in model.state_dict().items()}
    return {name: tensor for name, tensor in tensors.items() if name in kept}


@torch.inference_mode()
def _check_input(source: str, config: BackboneVisionConfig, model: Any) -> None:
    """Check that the model reads the input's size, and that it has the class token, if asked for."""
    blank = torch.zeros(1, 3, config.image_size, config.image_size, dtype=model.dtype)
    resized = config.image_size != getattr(model.config, "image_size", config.image_size)
    options = {"interpolate_pos_encoding": True} if resized else {}
    try:
        outputs = model(pixel_values=blank, **options)
    except (RuntimeError, ValueError, TypeError):
        try:
            outputs = model(pixel_values=blank)
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{source} does not take images of {config.image_size} px: {error}"
            ) from error
    extra = outputs.last_hidden_state.shape[1] - config.patches
    if extra < 0 or math.isqrt(config.patches) ** 2 != config.patches:
        raise CheckpointError(f"{source} does not give one feature for each patch of an image.")
    if config.backbone.class_token and extra == 0:
        raise CheckpointError(f"{source} has no class token; leave out --class-token.")
