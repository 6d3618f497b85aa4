"""The sizes of a vision encoder, as stored in ``vision/config.json`` of a model folder."""

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

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
        """Read ``vision/config.json``; raises ``ValueError`` or ``OSError``."""
        content = json.loads(file.read_text())
        if isinstance(content, dict) and "backbone" in content:
            return BackboneVisionConfig.model_validate(content)
        return VisionConfig.model_validate(content)


class Backbone(_Shape):
    """A vision model of transformers, and the features that the projection reads from it.

    Attributes:
        config: The configuration of transformers, with ``model_type``.
        layers: Numbers of the layers whose outputs are read, from 1; several are put side by side.
        class_token: Add the class token of the last of ``layers`` to each visual token.
        grouping: How the patch features of a square neighbourhood become one visual token.
        pixel_mean, pixel_std: Statistics that the pixels are normalised with, for values from 0
            to 1.
    """

    config: dict[str, Any]
    layers: tuple[PositiveInt, ...] = Field(min_length=1)
    class_token: bool = False
    grouping: Literal["mean", "concatenate"] = "mean"
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]

    @property
    def width(self) -> int:
        """Width of a patch feature of one layer."""
        return int(self.config["hidden_size"])

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
        return int(self.config["patch_size"])

    def make_shape(self) -> ViTShape:
        """Return the sizes of the layers that are kept."""
        width = self.width
        return ViTShape(
            hidden_size=width,
            intermediate_size=int(
                self.config.get("intermediate_size") or width * self.config.get("mlp_ratio", 4)
            ),
            num_hidden_layers=max(self.layers),
            num_attention_heads=int(self.config.get("num_attention_heads", 1)),
            patch_size=self.patch_size,
            layer_norm_eps=float(self.config.get("layer_norm_eps", 1e-6)),
        )


class BackboneVisionConfig(VisionConfig):
    """Sizes of an encoder whose vision model is one of transformers'.

    Attributes:
        vit: Sizes of the vision model; made of the backbone's configuration.
        tokens: Visual tokens of an image: a square number, of which each takes the patches of a
            square neighbourhood.
    """

    vit: ViTShape = Field(default=ViTShape(), exclude=True)
    ln_vision_eps: float = Field(default=1e-5, exclude=True)
    qformer: QFormerShape | None = Field(default=None, exclude=True)
    backbone: Backbone
    tokens: PositiveInt

    @model_validator(mode="before")
    @classmethod
    def _derive_vit(cls, values: Any) -> Any:
        backbone = values.get("backbone") if isinstance(values, dict) else None
        if backbone is None:
            return values
        backbone = Backbone.model_validate(backbone)
        return {**values, "backbone": backbone, "vit": backbone.make_shape()}

    @model_validator(mode="after")
    def _check_sizes(self) -> "BackboneVisionConfig":
        patch = self.backbone.patch_size
        if self.image_size % patch:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of the patch size {patch}"
            )
        side, patches = math.isqrt(self.tokens), self.image_size // patch
        if side * side != self.tokens or patches % side:
            allowed = [n * n for n in range(1, patches + 1) if patches % n == 0]
            raise ValueError(
                f"{self.tokens} visual tokens cannot be made of {patches} x {patches} patches; "
                f"possible are {', '.join(map(str, allowed))}"
            )
        return self

    @property
    def group_side(self) -> int:
        """Side of the neighbourhood that one visual token takes, in patches."""
        return self.image_size // self.backbone.patch_size // math.isqrt(self.tokens)

    @property
    def patches(self) -> int:
        """Patches of one image, without the class token."""
        return (self.image_size // self.backbone.patch_size) ** 2

    @property
    def visual_tokens(self) -> int:
        """Embeddings that one image takes in the prompt."""
        return self.tokens

    @property
    def projection_width(self) -> int:
        """Width of the features that the projection reads."""
        backbone = self.backbone
        features = len(backbone.layers) * backbone.width
        if backbone.grouping == "concatenate":
            features *= self.group_side**2
        return features + (backbone.width if backbone.class_token else 0)


def load_vision_config(folder: Path) -> VisionConfig:
    """Read ``config.json`` of ``folder``; raises :class:`ModelFolderError` when it is not valid."""
    file = folder / CONFIG_FILE
    try:
        return VisionConfig.load(file)
    except FileNotFoundError:
        raise ModelFolderError(f"{file} is missing.") from None
    except (ValidationError, ValueError, OSError) as error:
        raise ModelFolderError(f"{file} is not a vision configuration: {error}") from error


def format_width(width: object) -> str:
    """Format a width of embeddings with the name of the model size: ``4096 (7B)``."""
    name = _MODEL_SIZES.get(width) if isinstance(width, int) else None
    return f"{width} ({name})" if name else str(width)
