"""Tensors of the encoder that are computed from the published ones."""

from functools import partial

import torch
from torch import Tensor, nn

from service.errors import CheckpointError
from service.tensors.lazy_tensor import LazyTensor


def join_qkv_biases(tensors: dict[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Replace each ``q_bias`` and ``v_bias`` by the ``qkv.bias`` that the original computes with.

    Its middle third is zero, because keys have no bias.

    Raises:
        CheckpointError: the two have different shapes or dtypes.
    """
    joined = {}
    for name, tensor in tensors.items():
        if name.endswith(".self_attn.q_bias"):
            prefix = name.removesuffix("q_bias")
            value = tensors.get(f"{prefix}v_bias")
            if value is not None:
                joined[f"{prefix}qkv.bias"] = _join_biases(prefix, tensor, value)
                continue
        if name.endswith(".self_attn.v_bias") and name.replace("v_bias", "q_bias") in tensors:
            continue
        joined[name] = tensor
    return joined


def _join_biases(prefix: str, query: LazyTensor, value: LazyTensor) -> LazyTensor:
    if len(query.shape) != 1 or (query.shape, query.dtype) != (value.shape, value.dtype):
        raise CheckpointError(
            f"q_bias {query.shape} and v_bias {value.shape} of {prefix[:-1]} do not fit together."
        )

    def load() -> Tensor:
        query_bias, value_bias = query.load(), value.load()
        return torch.cat([query_bias, torch.zeros_like(value_bias), value_bias])

    return LazyTensor((query.elements + 2 * value.elements,), query.dtype, load)


def interpolate_positions(embeddings: LazyTensor, patches: int) -> LazyTensor:
    """Interpolate position embeddings for another image size, as the original does.

    Bicubic over the square of patches, corners not aligned, in float32. The class token's embedding
    stays.

    Args:
        embeddings: ``[1, 1 + patches in the file, width]``.
        patches: Number of patches that the encoder needs.

    Raises:
        CheckpointError: the patches in the file do not form a square.
    """
    if len(embeddings.shape) != 3 or embeddings.shape[1] == patches + 1:
        return embeddings
    old, new = round((embeddings.shape[1] - 1) ** 0.5), round(patches**0.5)
    if old * old != embeddings.shape[1] - 1:
        raise CheckpointError(
            f"pos_embed {embeddings.shape} does not belong to a square of patches."
        )

    def load() -> Tensor:
        class_token, grid = embeddings.load().float().split([1, old * old], dim=1)
        grid = grid.unflatten(1, (old, old)).permute(0, 3, 1, 2)
        grid = nn.functional.interpolate(grid, (new, new), mode="bicubic", align_corners=False)
        return torch.cat([class_token, grid.flatten(2).transpose(1, 2)], dim=1)

    return LazyTensor((1, patches + 1, embeddings.shape[2]), torch.float32, load)


def add_initial_ln_vision(tensors: dict[str, LazyTensor], width: int) -> None:
    """Add the initial values of ``ln_vision`` where they are missing.

    In families without a Q-Former the original never loads this norm, but it does apply it.
    """
    ones = LazyTensor((width,), torch.float32, partial(torch.ones, width))
    zeros = LazyTensor((width,), torch.float32, partial(torch.zeros, width))
    tensors.setdefault("ln_vision.weight", ones)
    tensors.setdefault("ln_vision.bias", zeros)
