"""The vision encoder of the published families, made of transformers' BLIP-2 modules."""

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel

from service.families import PATCHES_PER_TOKEN
from service.model_folder.vision_config import QFormerShape, VisionConfig
from service.vision.projected_encoder import ProjectedEncoder, make_projection

# CLIP's pixel statistics (Radford et al. 2021), which EVA and BLIP-2 use too.
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


class Float32LayerNorm(nn.LayerNorm):
    """Layer norm that computes in float32 for any dtype, as the original's ln_vision does."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise ``[..., width]`` and return it in its own dtype."""
        normalised = nn.functional.layer_norm(
            features.float(),
            self.normalized_shape,
            self.weight.float(),
            self.bias.float(),
            self.eps,
        )
        return normalised.to(features.dtype)


class VisionEncoder(ProjectedEncoder):
    """ViT, ln_vision, Q-Former (or grouping of patch features) and the trained projection."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__(config, PIXEL_MEAN, PIXEL_STD)
        self.vit = Blip2VisionModel(_make_vit_config(config))
        # transformers would give this norm the epsilon of the blocks, so ln_vision replaces it.
        self.vit.post_layernorm = nn.Identity()  # type: ignore[assignment]
        self.ln_vision = Float32LayerNorm(config.vit.hidden_size, eps=config.ln_vision_eps)
        if config.qformer is not None:
            self.query_tokens = nn.Parameter(
                torch.zeros(1, config.qformer.query_tokens, config.qformer.hidden_size)
            )
            self.qformer = Blip2QFormerModel(
                _make_qformer_config(config.qformer, config.vit.hidden_size)
            )
        self.projection = make_projection(config)
        self.eval()

    def visual_features(self, pixels: Tensor) -> Tensor:
        """Compute the projection's input, ``[images, visual_tokens, projection_width]``."""
        patch_features = self.ln_vision(self.vit(self.normalise(pixels)).last_hidden_state)
        if self.config.qformer is None:
            return _group_patches(patch_features[:, 1:])
        # The Q-Former also attends to the class token.
        return self.qformer(
            query_embeds=self.query_tokens.expand(len(pixels), -1, -1),
            encoder_hidden_states=patch_features,
        ).last_hidden_state

    @property
    def vision_model(self) -> nn.Module:
        """The ViT."""
        return self.vit

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights; in training that of the ViT may differ."""
        return self.ln_vision.weight.dtype


def _group_patches(patch_features: Tensor) -> Tensor:
    # The original groups consecutive patches in raster order, not 2x2 neighbourhoods.
    images, patches, width = patch_features.shape
    return patch_features.reshape(images, patches // PATCHES_PER_TOKEN, PATCHES_PER_TOKEN * width)


def _make_vit_config(config: VisionConfig) -> Blip2VisionConfig:
    return Blip2VisionConfig(
        **config.vit.model_dump(),
        image_size=config.image_size,
        hidden_act="gelu",
        qkv_bias=True,
        attn_implementation="sdpa",  # type: ignore[call-arg] # taken by the base class
    )


def _make_qformer_config(shape: QFormerShape, vit_width: int) -> Blip2QFormerConfig:
    return Blip2QFormerConfig(
        **shape.model_dump(exclude={"query_tokens"}),
        encoder_hidden_size=vit_width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        use_qformer_text_input=False,
        attn_implementation="sdpa",  # type: ignore[call-arg] # taken by the base class
    )
