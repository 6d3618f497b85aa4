"""The sizes of a vision encoder, as stored in ``vision/config.json`` of a model folder."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, model_validator

from service.errors import ModelFolderError
from service.families import PATCHES_PER_TOKEN, QUERY_TOKENS

_MODEL_SIZES = {4096: "7B", 5120: "13B"}
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ViTShape(_Shape):
    """EVA ViT-g/14 as MiniGPT-4 runs it: 39 of its 40 blocks, without the final norm and head."""

    hidden_size: PositiveInt = 1408
    intermediate_size: PositiveInt = 6144
    num_hidden_layers: PositiveInt = 39
    num_attention_heads: PositiveInt = 16
    patch_size: PositiveInt = 14
    layer_norm_eps: float = 1e-6


class QFormerShape(_Shape):
    """The query branch of BLIP-2's Q-Former (Li et al. 2023, arXiv:2301.12597)."""

    hidden_size: PositiveInt = 768
    intermediate_size: PositiveInt = 3072
    num_hidden_layers: PositiveInt = 12
    num_attention_heads: PositiveInt = 12
    cross_attention_frequency: PositiveInt = 2
    layer_norm_eps: float = 1e-12
    query_tokens: PositiveInt = QUERY_TOKENS


class VisionConfig(_Shape):
    """Sizes of the whole encoder.

    Attributes:
        image_size: Side of the square input in pixels; a multiple of the patch size.
        qformer: None in the families that project groups of patch features.
        ln_vision_eps: Epsilon of the norm after the ViT. The original uses torch's default for it,
            and another value in the ViT's blocks.
        projection_layers: 1 is MiniGPT-4; 3 is a variant in the paper's ablation, with GELU between
            the layers.
        hidden_size: Width of the language model's embeddings.
    """

    image_size: PositiveInt = 224
    vit: ViTShape = ViTShape()
    ln_vision_eps: float = 1e-5
    qformer: QFormerShape | None = QFormerShape()
    projection_layers: Literal[1, 3] = 1
    hidden_size: PositiveInt = 4096

    @model_validator(mode="after")
    def _check_sizes(self) -> "VisionConfig":
        if self.image_size % self.vit.patch_size:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of patch_size {self.vit.patch_size}"
            )
        if self.qformer is None and self.patches % PATCHES_PER_TOKEN:
            raise ValueError(f"{self.patches} patches cannot be grouped by {PATCHES_PER_TOKEN}")
        return self

    @property
    def patches(self) -> int:
        """Patches of one image, without the class token."""
        return (self.image_size // self.vit.patch_size) ** 2

    @property
    def visual_tokens(self) -> int:
        """Embeddings that one image takes in the prompt."""
        return self.qformer.query_tokens if self.qformer else self.patches // PATCHES_PER_TOKEN

    @property
    def projection_width(self) -> int:
        """Width of the features that the projection reads."""
        return (
            self.qformer.hidden_size if self.qformer else PATCHES_PER_TOKEN * self.vit.hidden_size
        )

    @classmethod
    def load(cls, file: Path) -> "VisionConfig":
        """Read ``vision/config.json``; raises ``pydantic.ValidationError`` or ``OSError``."""
        return cls.model_validate_json(file.read_text())


def load_vision_config(folder: Path) -> VisionConfig:
    """Read ``config.json`` of ``folder``; raises :class:`ModelFolderError` when it is not valid."""
    file = folder / CONFIG_FILE
    try:
        return VisionConfig.load(file)
    except FileNotFoundError:
        raise ModelFolderError(f"{file} is missing.") from None
    except (ValidationError, OSError) as error:
        raise ModelFolderError(f"{file} is not a vision configuration: {error}") from error


def format_width(width: object) -> str:
    """Format a width of embeddings with the name of the model size: ``4096 (7B)``."""
    name = _MODEL_SIZES.get(width) if isinstance(width, int) else None
    return f"{width} ({name})" if name else str(width)
