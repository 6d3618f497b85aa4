"""The parts that learn: as published, or in one of the paper's variants (section 4.3)."""

from typing import Literal

import torch
from torch import nn

from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import VisionConfig, load_vision_config
from service.vision.choice import make_encoder
from service.vision.projected_encoder import ProjectedEncoder
from service.vision.weights import load_vision_encoder

Variant = Literal["published", "no-qformer", "three-layers", "train-qformer"]
"""One linear layer; no Q-Former; three layers; or a Q-Former that learns as well."""

_QFORMER_DROPOUT = 0.1
"""Of hidden states and attention, in the original's BERT configuration."""


def needs_new_projection(folder: ModelFolder, variant: Variant) -> bool:
    """Return whether the variant's projection has another form than the folder's."""
    config = load_vision_config(folder.vision)
    return configure_variant(variant, config) != config


def load_encoder(
    folder: ModelFolder, variant: Variant, *, fresh: bool, seed: int, initial_scale: float
) -> tuple[ProjectedEncoder, bool]:
    """Load a folder's encoder for a variant; only what learns has ``requires_grad``.

    Args:
        fresh: Make a new random projection. A variant of another form always gets a new one.
        seed: Of the new projection.
        initial_scale: Factor on the random start of the new projection's last layer.

    Returns:
        The encoder, and whether its projection is new.

    Raises:
        AlignmentError: the folder has no Q-Former that could learn.
    """
    stored = load_vision_encoder(folder.vision)
    config = configure_variant(variant, stored.config)
    is_new = fresh or config != stored.config
    encoder = _with_new_projection(stored, config, seed, initial_scale) if is_new else stored
    encoder.projection.requires_grad_(True)
    if variant == "train-qformer":
        if encoder.config.qformer is None:
            raise AlignmentError(f"{folder.root} has no Q-Former that could be trained.")
        encoder.qformer.requires_grad_(True)
        encoder.query_tokens.requires_grad_(True)
    return encoder, is_new


def set_qformer_dropout(encoder: ProjectedEncoder, *, active: bool) -> None:
    """Switch the dropout of a Q-Former that learns on or off, as BERT and the original have it."""
    for module in encoder.qformer.modules():
        if isinstance(module, nn.Dropout):
            module.p = _QFORMER_DROPOUT
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = _QFORMER_DROPOUT
    encoder.qformer.train(active)


def _with_new_projection(
    stored: ProjectedEncoder, config: VisionConfig, seed: int, initial_scale: float
) -> ProjectedEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = make_encoder(config)
    frozen = {
        name: tensor
        for name, tensor in stored.state_dict().items()
        if not name.startswith("projection.") and name in encoder.state_dict()
    }
    encoder.load_state_dict(frozen, strict=False)
    if config.qformer is None and stored.config.qformer is not None:
        # The original loads ln_vision with the Q-Former only, and applies it in any case.
        encoder.ln_vision.reset_parameters()
    encoder.requires_grad_(False)
    last = [layer for layer in encoder.projection.modules() if isinstance(layer, nn.Linear)][-1]
    last.weight.mul_(initial_scale)
    last.bias.mul_(initial_scale)
    return encoder


def configure_variant(variant: Variant, config: VisionConfig) -> VisionConfig:
    """Return the shape of the encoder that a variant trains."""
    if variant == "no-qformer":
        return config.model_copy(update={"qformer": None})
    if variant == "three-layers":
        return config.model_copy(update={"projection_layers": 3})
    return config
