"""The start of the vision side: smooth positions, cosine patches, queries at their cells."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerLayer

from service.demo.vision_side.labels import PATCH, PATCHES
from service.scenes.scene import CELLS
from service.vision.model import VisionEncoder

_FREQUENCIES = 8
"""Lowest frequencies of a patch, in each direction, that its embedding holds."""


@torch.no_grad()
def initialise(model: nn.Module, encoder: VisionEncoder) -> None:
    """Initialise the linear layers of a model and the embeddings of its encoder."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    embeddings = encoder.vit.embeddings
    embeddings.patch_embedding.weight.copy_(_make_cosine_patches(PATCH, _FREQUENCIES))
    assert embeddings.patch_embedding.bias is not None
    nn.init.zeros_(embeddings.patch_embedding.bias)
    positions = _make_smooth_positions(PATCHES, embeddings.position_embedding.shape[-1])
    nn.init.zeros_(embeddings.position_embedding)
    embeddings.position_embedding[0, 1:] = positions
    nn.init.trunc_normal_(embeddings.class_embedding, std=0.5)
    _initialise_queries(encoder, positions)


def _initialise_queries(encoder: VisionEncoder, positions: Tensor) -> None:
    """Start query tokens at the positions of their cells, and make queries equal to keys."""
    queries = encoder.query_tokens
    nn.init.trunc_normal_(queries, std=0.5)
    grid = positions.unflatten(0, (PATCHES, PATCHES))
    for cell in range(CELLS):
        rows, columns = (
            slice(round(at * PATCHES / 3), round((at + 1) * PATCHES / 3)) for at in divmod(cell, 3)
        )
        queries[0, cell] += 2 * grid[rows, columns].mean((0, 1))
    layers = cast("Sequence[Blip2QFormerLayer]", encoder.qformer.encoder.layer)
    for layer in layers:
        attention = layer.crossattention.attention
        attention.query.weight.mul_(1.5)
        attention.key.weight.copy_(attention.query.weight)


def _make_smooth_positions(side: int, width: int) -> Tensor:
    """Make position embeddings that are smooth and distinct: ``[side^2, width]``, deviation 0.7.

    They are a cosine basis of the grid, low frequencies strongest, rotated at random into the full
    width.
    """
    places = (torch.arange(side) + 0.5) / side
    waves = torch.stack([torch.cos(torch.pi * step * places) for step in range(side)], dim=1)
    gains = 1 / (1 + torch.arange(side)[:, None] + torch.arange(side)[None, :]).float()
    basis = torch.einsum("ya,xb,ab->yxab", waves, waves, gains).flatten(2).flatten(0, 1)
    basis = basis - basis.mean(0)
    rotated = basis @ torch.randn(basis.shape[1], width)
    return 0.7 * rotated / rotated.std()


def _make_cosine_patches(side: int, frequencies: int) -> Tensor:
    """Make a patch embedding that is a cosine transform: ``[3 * frequencies^2, 3, side, side]``.

    A patch's low frequencies hold nearly all of a drawn shape. A random start would mix them with
    noise, and shapes would take several times longer to learn. Higher frequencies carry less power
    and are amplified to the same scale.
    """
    places = (torch.arange(side) + 0.5) / side
    waves = torch.stack([torch.cos(torch.pi * step * places) for step in range(frequencies)])
    waves = waves / waves.norm(dim=1, keepdim=True)
    gains = 1 + torch.arange(frequencies)
    planes = torch.einsum("ay,bx->abyx", waves * gains[:, None], waves * gains[:, None])
    weight = torch.zeros(3, frequencies * frequencies, 3, side, side)
    for channel in range(3):
        weight[channel, :, channel] = planes.flatten(0, 1)
    return 1.8 * weight.flatten(0, 1) / side
