"""The part that all vision encoders share: normalised pixels before, the trained projection after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from service.model_folder.vision_config import VisionConfig


class ProjectedEncoder(nn.Module):
    """A vision model and the projection of its features into the language model's embeddings.

    A subclass makes its frozen parts and ``projection``, and defines :meth:`visual_features` and
    :attr:`vision_model`.

    Args:
        pixel_mean, pixel_std: Statistics of each colour, for values from 0 to 1.
    """

    pixel_mean: Tensor
    pixel_std: Tensor
    projection: nn.Module

    if TYPE_CHECKING:
        # The frozen parts differ from encoder to encoder: `vit` and `qformer`, or `backbone`.
        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self, config: VisionConfig, pixel_mean: Sequence[float], pixel_std: Sequence[float]
    ) -> None:
        super().__init__()
        self.config = config
        self._statistics = (tuple(pixel_mean), tuple(pixel_std))
        ProjectedEncoder.reset_buffers(self)

    def reset_buffers(self) -> None:
        """Create the buffers that no file holds; needed again after building on the meta device."""
        mean, std = self._statistics
        self.register_buffer("pixel_mean", torch.tensor(mean), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode a batch.

        Args:
            pixels: ``[images, image_size, image_size, 3]`` uint8 RGB.

        Returns:
            Projected embeddings ``[images, visual_tokens, hidden_size]`` in the weights' dtype.
        """
        return self.projection(self.visual_features(pixels))

    def visual_features(self, pixels: Tensor) -> Tensor:
        """Compute the projection's input, ``[images, visual_tokens, projection_width]``."""
        raise NotImplementedError

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn uint8 pixels into ``[images, 3, image_size, image_size]`` in the weights' dtype."""
        # Permute first, then compute in place: else this takes a sixth of an encoding on a CPU.
        planes = pixels.permute(0, 3, 1, 2).contiguous().float()
        mean, std = self.pixel_mean[:, None, None], self.pixel_std[:, None, None]
        return planes.div_(255).sub_(mean).div_(std).to(self.dtype)

    @property
    def vision_model(self) -> nn.Module:
        """The vision transformer, without what follows it."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return next(self.vision_model.parameters()).dtype


def make_projection(config: VisionConfig) -> nn.Module:
    """Make an untrained projection of the encoder's widths and layers."""
    first = nn.Linear(config.projection_width, config.hidden_size)
    if config.projection_layers == 1:
        return first
    layers: list[nn.Module] = [first]
    for _ in range(config.projection_layers - 1):
        layers += [nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size)]
    return nn.Sequential(*layers)
