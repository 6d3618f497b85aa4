"""The vision encoder of composed models: any vision model of transformers, and a projection."""

import inspect
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, Blip2VisionModel, PreTrainedConfig, PreTrainedModel

from service.errors import ModelFolderError
from service.model_folder.vision_config import Backbone, BackboneVisionConfig
from service.vision.projected_encoder import ProjectedEncoder, make_projection

_NOT_AUTOMATIC: dict[str, type[PreTrainedModel]] = {"blip_2_vision_model": Blip2VisionModel}
"""Vision models that transformers' ``AutoModel`` does not know."""


class BackboneEncoder(ProjectedEncoder):
    """A vision model, the outputs of some of its layers, and the trained projection."""

    config: BackboneVisionConfig

    def __init__(self, config: BackboneVisionConfig) -> None:
        backbone = config.backbone
        super().__init__(config, backbone.pixel_mean, backbone.pixel_std)
        configuration = read_backbone_config(backbone)
        self.backbone = find_model_class(configuration)(configuration)
        # Vision models fix their input's size, unless they are told to stretch their positions.
        stretches = (
            "interpolate_pos_encoding" in inspect.signature(self.backbone.forward).parameters
        )
        resized = config.image_size != getattr(configuration, "image_size", config.image_size)
        self._options = {"interpolate_pos_encoding": True} if stretches and resized else {}
        self.projection = make_projection(config)
        self.eval()

    def visual_features(self, pixels: Tensor) -> Tensor:
        """Compute the projection's input, ``[images, visual_tokens, projection_width]``.

        Each layer's output is normalised without weights, so that the layers have the same scale.
        """
        backbone = self.config.backbone
        outputs = self.backbone(
            pixel_values=self.normalise(pixels), output_hidden_states=True, **self._options
        )
        # hidden_states begins with the embeddings of the patches, so that layer 1 is number 1.
        states = [_normalise_width(outputs.hidden_states[layer]) for layer in backbone.layers]
        patches = torch.cat([state[:, -self.config.patches :] for state in states], dim=-1)
        tokens = self._group(patches)
        if backbone.class_token:
            class_token = states[-1][:, :1].expand(-1, tokens.shape[1], -1)
            tokens = torch.cat([tokens, class_token], dim=-1)
        return tokens

    @property
    def vision_model(self) -> nn.Module:
        """The model of transformers."""
        return self.backbone

    def _group(self, patches: Tensor) -> Tensor:
        """Make one visual token of each square neighbourhood of ``[images, patches, width]``."""
        images, count, width = patches.shape
        side = self.config.group_side
        rows = round(count**0.5) // side
        groups = patches.reshape(images, rows, side, rows, side, width).transpose(2, 3)
        groups = groups.reshape(images, rows * rows, side * side, width)
        if self.config.backbone.grouping == "mean":
            return groups.mean(dim=2)
        return groups.flatten(2)

    def reset_buffers(self) -> None:
        """Create the buffers that no file holds: pixel statistics, and numbers of positions."""
        super().reset_buffers()
        for name, module in self.backbone.named_modules():
            for key, buffer in module.named_buffers(recurse=False):
                if not buffer.is_meta:
                    continue
                if key != "position_ids":
                    raise ModelFolderError(
                        f"The vision model computes {name}.{key} when it is made; models of this "
                        "kind are not supported."
                    )
                numbers = torch.arange(buffer.shape[-1]).expand(buffer.shape)
                module.register_buffer(key, numbers, persistent=False)


def read_backbone_config(backbone: Backbone) -> PreTrainedConfig:
    """Make transformers' configuration of the layers up to the last that is read."""
    values = dict(backbone.config)
    try:
        configuration = AutoConfig.for_model(values.pop("model_type"), **values)
    except (KeyError, ValueError) as error:
        raise ModelFolderError(f"transformers knows no such vision model: {error}") from None
    configuration.num_hidden_layers = max(backbone.layers)
    return configuration


def find_model_class(configuration: PreTrainedConfig) -> type[PreTrainedModel]:
    """Return the class of a vision model."""
    special = _NOT_AUTOMATIC.get(configuration.model_type)
    if special is not None:
        return special
    try:
        found = cast(type[PreTrainedModel], AutoModel._model_mapping[type(configuration)])
    except KeyError:
        raise ModelFolderError(
            f"transformers has no vision model of the type {configuration.model_type}."
        ) from None
    return found


def _normalise_width(features: Tensor) -> Tensor:
    return functional.layer_norm(features.float(), features.shape[-1:]).to(features.dtype)
