"""EVA's ViT-g/14 as published in ``eva_vit_g.pth`` (Fang et al. 2022, arXiv:2211.07636)."""

from collections.abc import Mapping

from service.checkpoints.layouts.heads import choose_heads
from service.checkpoints.layouts.name_table import NameTable, count_layers
from service.errors import CheckpointError
from service.model_folder.vision_config import ViTShape
from service.tensors.lazy_tensor import LazyTensor

HEAD_WIDTH = 88
"""Width of one attention head of ViT-g."""

PUBLISHED_WIDTH, PUBLISHED_LAYERS = 1408, 39

_LAYER = "vit.encoder.layers.#"
EVA_VIT = NameTable(
    renamed=[
        ("cls_token", "vit.embeddings.class_embedding"),
        ("pos_embed", "vit.embeddings.position_embedding"),
        ("patch_embed.proj.*", "vit.embeddings.patch_embedding.*"),
        ("blocks.#.norm1.*", f"{_LAYER}.layer_norm1.*"),
        ("blocks.#.norm2.*", f"{_LAYER}.layer_norm2.*"),
        ("blocks.#.attn.qkv.weight", f"{_LAYER}.self_attn.qkv.weight"),
        # join_qkv_biases makes qkv.bias of these two.
        ("blocks.#.attn.q_bias", f"{_LAYER}.self_attn.q_bias"),
        ("blocks.#.attn.v_bias", f"{_LAYER}.self_attn.v_bias"),
        ("blocks.#.attn.proj.*", f"{_LAYER}.self_attn.projection.*"),
        ("blocks.#.mlp.fc1.*", f"{_LAYER}.mlp.fc1.*"),
        ("blocks.#.mlp.fc2.*", f"{_LAYER}.mlp.fc2.*"),
    ],
    ignored=[
        ("norm.*", "the ViT's final norm, which MiniGPT-4 does not run"),
        ("fc_norm.*", "the ViT's final norm, which MiniGPT-4 does not run"),
        ("head.*", "the ViT's classifier"),
        ("mask_token", "used in EVA's pre-training only"),
        ("lm_head.*", "used in EVA's pre-training only"),
    ],
    foreign=[
        ("blocks.#.gamma_1", "layer scale"),
        ("blocks.#.gamma_2", "layer scale"),
        ("blocks.#.attn.relative_position_bias_table", "relative positions"),
        ("blocks.#.attn.relative_position_index", "relative positions"),
        ("rel_pos_bias.*", "relative positions"),
    ],
)


def derive_vit_shape(
    tensors: Mapping[str, LazyTensor],
    *,
    runs_last_layer: bool,
    heads: int | None,
    layers: int | None,
) -> ViTShape:
    """Derive the sizes of the ViT from its tensors.

    Args:
        tensors: By name in the model folder.
        runs_last_layer: Whether the last layer in the file is run. The last block of
            ``eva_vit_g.pth`` (the 40th) is not.
        heads: From the command line, or from a configuration beside the file; None if neither says.
        layers: From the command line, or None.

    Raises:
        CheckpointError: the tensors do not form such a ViT.
    """
    try:
        width, channels, patch, other_patch = tensors["vit.embeddings.patch_embedding.weight"].shape
        intermediate = tensors["vit.encoder.layers.0.mlp.fc1.weight"].shape[0]
    except (KeyError, ValueError, IndexError):
        raise CheckpointError(
            "The file given for the ViT holds none of its tensors (patch_embed.proj.weight, "
            "blocks.0.mlp.fc1.weight, ...). It should be eva_vit_g.pth, or a Hugging Face BLIP-2 "
            "folder."
        ) from None
    if channels != 3 or patch != other_patch:
        raise CheckpointError(f"Patches of {channels}x{patch}x{other_patch} are not supported.")
    layers_in_file = count_layers(tensors, _LAYER[:-1])
    layers = layers or _count_run_layers(width, layers_in_file, runs_last_layer)
    if not 0 < layers <= layers_in_file:
        raise CheckpointError(
            f"{layers} layers of the ViT are wanted, but the file holds {layers_in_file}."
        )
    return ViTShape(
        hidden_size=width,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=choose_heads("ViT", width, HEAD_WIDTH, heads),
        patch_size=patch,
    )


def _count_run_layers(width: int, layers_in_file: int, runs_last_layer: bool) -> int:
    # Of the published ViT, files with and without the 40th block exist.
    if width == PUBLISHED_WIDTH and layers_in_file in (PUBLISHED_LAYERS, PUBLISHED_LAYERS + 1):
        return PUBLISHED_LAYERS
    return layers_in_file if runs_last_layer else layers_in_file - 1
