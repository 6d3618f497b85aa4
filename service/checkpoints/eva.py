"""EVA's ViT-g/14 as published in ``eva_vit_g.pth`` (Fang et al. 2022, arXiv:2211.07636)."""

import torch
from torch import Tensor, nn

from service.checkpoints.names import NameTable, count_layers
from service.errors import CheckpointError
from service.model_folder.vision_config import ViTShape
from service.tensors.lazy_tensor import LazyTensor

HEAD_WIDTH = 88
"""Width of one attention head of ViT-g."""
PUBLISHED_WIDTH, PUBLISHED_LAYERS = 1408, 39

_LAYER = "vit.encoder.layers.#"
VIT = NameTable(
    renamed=[
        ("cls_token", "vit.embeddings.class_embedding"),
        ("pos_embed", "vit.embeddings.position_embedding"),
        ("patch_embed.proj.*", "vit.embeddings.patch_embedding.*"),
        ("blocks.#.norm1.*", f"{_LAYER}.layer_norm1.*"),
        ("blocks.#.norm2.*", f"{_LAYER}.layer_norm2.*"),
        ("blocks.#.attn.qkv.weight", f"{_LAYER}.self_attn.qkv.weight"),
        # Joined into qkv.bias afterwards: see join_biases.
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


def join_biases(tensors: dict[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Replace ``q_bias`` and ``v_bias`` by the ``qkv.bias`` that the original computes with.

    Keys have no bias: the middle third is zero.

    Raises:
        CheckpointError: the two are of different shapes or dtypes.
    """
    joined = {}
    for name, entry in tensors.items():
        if name.endswith(".self_attn.q_bias"):
            prefix = name.removesuffix("q_bias")
            value = tensors.get(f"{prefix}v_bias")
            if value is not None:
                joined[f"{prefix}qkv.bias"] = _joined(prefix, entry, value)
                continue
        if name.endswith(".self_attn.v_bias") and name.replace("v_bias", "q_bias") in tensors:
            continue
        joined[name] = entry
    return joined


def _joined(prefix: str, query: LazyTensor, value: LazyTensor) -> LazyTensor:
    if len(query.shape) != 1 or (query.shape, query.dtype) != (value.shape, value.dtype):
        raise CheckpointError(
            f"q_bias {query.shape} and v_bias {value.shape} of {prefix[:-1]} do not fit each other."
        )

    def read() -> Tensor:
        query_bias, value_bias = query.load(), value.load()
        return torch.cat([query_bias, torch.zeros_like(value_bias), value_bias])

    return LazyTensor((query.elements + 2 * value.elements,), query.dtype, read)


def fit_positions(entry: LazyTensor, patches: int) -> LazyTensor:
    """Position embeddings for another image size, as the original interpolates them.

    Bicubic over the square of patches, corners not aligned, in float32; the class token's stays.

    Args:
        entry: ``[1, 1 + patches in the file, width]``.
        patches: Patches of one image, wanted.

    Raises:
        CheckpointError: the file's patches do not form a square.
    """
    if len(entry.shape) != 3 or entry.shape[1] == patches + 1:
        return entry
    old, new = round((entry.shape[1] - 1) ** 0.5), round(patches**0.5)
    if old * old != entry.shape[1] - 1:
        raise CheckpointError(f"pos_embed {entry.shape} does not belong to a square of patches.")

    def read() -> Tensor:
        class_token, grid = entry.load().float().split([1, old * old], dim=1)
        grid = grid.unflatten(1, (old, old)).permute(0, 3, 1, 2)
        grid = nn.functional.interpolate(grid, (new, new), mode="bicubic", align_corners=False)
        return torch.cat([class_token, grid.flatten(2).transpose(1, 2)], dim=1)

    return LazyTensor((1, patches + 1, entry.shape[2]), torch.float32, read)


def vit_shape(
    tensors: dict[str, LazyTensor],
    *,
    layers_in_file_run: bool,
    heads: int | None,
    layers: int | None,
) -> ViTShape:
    """Sizes of the ViT, from its tensors.

    Args:
        tensors: By name in the model folder.
        layers_in_file_run: Whether all blocks of the file are run. In ``eva_vit_g.pth`` the last one
            (the 40th) is not.
        heads: Given by the user, or by a configuration beside the file.
        layers: Given by the user.

    Raises:
        CheckpointError: the tensors are no such ViT.
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
    found = count_layers(tensors, _LAYER[:-1])
    run = layers or _layers_run(width, found, layers_in_file_run)
    if not 0 < run <= found:
        raise CheckpointError(f"{run} layers of the ViT are wanted; the file holds {found}.")
    if heads is None and width % HEAD_WIDTH:
        raise CheckpointError(
            f"A ViT of width {width} cannot have heads of {HEAD_WIDTH}; say how many with --vit-heads."
        )
    return ViTShape(
        hidden_size=width,
        intermediate_size=intermediate,
        num_hidden_layers=run,
        num_attention_heads=heads or width // HEAD_WIDTH,
        patch_size=patch,
    )


def _layers_run(width: int, found: int, all_of_them: bool) -> int:
    if width == PUBLISHED_WIDTH and found in (PUBLISHED_LAYERS, PUBLISHED_LAYERS + 1):
        return PUBLISHED_LAYERS
    return found if all_of_them else found - 1
