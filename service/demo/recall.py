"""How the demo's language model starts: as attention that looks facts up, before it learns anything.

A small transformer spends most of a short training on finding out how to look something up in its own
context. Starting near that circuit skips it ("mimetic" initialisation: Trockman and Kolter 2023,
arXiv:2305.09828). Every fact word begins with an axis of its own. Then

- layer 1 copies the fact words one and two places back (at an image's slots, the slot itself),
- layers 2 and 3 compare fact words with the slots' and copy what the best slot holds.

Nothing is frozen: training changes all of it.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaDecoderLayer

HEAD = 64
"""Values of a head, and axes that fact words have."""

SOUGHT = 47
"""The first fact words: those that slots are looked up by."""

_FAST = 8
_MARKER = HEAD - 1
_WORD = 0.1
_COPIED = 0.1
_NEARBY_FREQUENCIES = 6
_SHARPNESS = 6.0
# In normalised slots of five words each axis has about this value.
_IN_SLOT = 6.2
_SEEK_SLOTS = 10.0


@torch.no_grad()
def ready_for_recall(
    llama: LlamaForCausalLM,
    facts: list[dict[int, float]],
    related: dict[int, list[int]],
    marker: int,
) -> None:
    """Write the start into a new model.

    Args:
        facts: Of each axis, the ids that begin along it, and how much; 63 axes at most.
        related: Ids that begin as half themselves and half other words: plurals.
        marker: Id whose embedding every slot holds.
    """
    embedding = llama.model.embed_tokens.weight
    width = embedding.shape[1]
    nn.init.normal_(embedding, std=_WORD * math.sqrt(width / (width - HEAD)))
    embedding[:, :HEAD] = 0
    length = _WORD * math.sqrt(width)
    for axis, shares in enumerate(facts):
        for number, share in shares.items():
            embedding[number, axis] = share
    for number in {number for shares in facts for number in shares}:
        along = embedding[number, :HEAD]
        embedding[number, HEAD:] *= 0.5
        along.mul_(0.87 * length / along.norm())
    embedding[marker] = 0
    embedding[marker, _MARKER] = length
    for number, others in related.items():
        embedding[number].mul_(0.6).add_(0.8 * embedding[others].mean(0))
    llama.lm_head.weight.copy_(embedding)
    layers = cast("Sequence[LlamaDecoderLayer]", llama.model.layers)
    for layer in layers:
        nn.init.normal_(layer.mlp.gate_proj.weight, std=1 / math.sqrt(width))
        nn.init.normal_(layer.mlp.up_proj.weight, std=1 / math.sqrt(width))
        _compare(layer.self_attn)
    frequencies = llama.model.rotary_emb.inv_freq
    first, second, third = (layer.self_attn for layer in layers[:3])
    _look_back(first, 0, 1, frequencies)
    _look_back(first, 1, 2, frequencies)
    _look_up(second, 0)
    _look_up(second, 1)
    _look_up(third, 0)


def _compare(attention: LlamaAttention) -> None:
    """Queries equal keys, and output undoes values."""
    nn.init.normal_(attention.q_proj.weight, std=0.06)
    attention.k_proj.weight.copy_(attention.q_proj.weight)
    nn.init.orthogonal_(attention.v_proj.weight)
    attention.o_proj.weight.copy_(_COPIED * attention.v_proj.weight.T)


def _look_back(attention: LlamaAttention, head: int, places: int, frequencies: Tensor) -> None:
    """Copy the facts of the token so many places back; a slot copies its own."""
    rows = slice(head * HEAD, (head + 1) * HEAD)
    _copy_facts(attention, rows)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[rows].mul_(0.1)
    back, still = torch.zeros(2, HEAD)
    turn = frequencies[:_NEARBY_FREQUENCIES] * places
    back[:_NEARBY_FREQUENCIES] = _SHARPNESS * torch.cos(turn)
    back[HEAD // 2 : HEAD // 2 + _NEARBY_FREQUENCIES] = -_SHARPNESS * torch.sin(turn)
    still[:_NEARBY_FREQUENCIES] = _SHARPNESS
    attention.q_proj.bias[rows] = back
    attention.k_proj.bias[rows] = still
    attention.q_proj.weight[rows, _MARKER] += (still - back) / _IN_SLOT


def _look_up(attention: LlamaAttention, head: int) -> None:
    """Find the slot that shares the most facts, and copy its facts.

    Only the head's slowly turning values compare: there near and far are alike.
    """
    rows = slice(head * HEAD, (head + 1) * HEAD)
    _copy_facts(attention, rows)
    half = HEAD // 2
    slow = [*range(_FAST, half), *range(half + _FAST, HEAD)]
    spread = torch.zeros(HEAD, HEAD)
    spread[slow[:-1], :SOUGHT] = nn.init.orthogonal_(torch.empty(SOUGHT, SOUGHT))
    spread[slow[-1], _MARKER] = 1
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[rows] = 0
        projection.weight[rows, :HEAD] = spread
    attention.q_proj.bias[rows] = _SEEK_SLOTS * spread[:, _MARKER]


def _copy_facts(attention: LlamaAttention, rows: slice) -> None:
    attention.v_proj.weight[rows] = 0
    attention.v_proj.weight[rows, :HEAD] = torch.eye(HEAD)
    attention.o_proj.weight[:, rows] = _COPIED * attention.v_proj.weight[rows].T
