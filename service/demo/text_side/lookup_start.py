"""The language model's start: attention heads that look facts up, before it learns anything.

A small transformer spends most of a short training on learning how to look something up in its own
context. A start near that circuit skips this ("mimetic" initialisation: Trockman and Kolter 2023,
arXiv:2305.09828). The embedding of every fact word begins with an axis of its own. Then

- layer 1 copies the fact words one and two places back (in an image's slots, the slot itself),
- layers 2 and 3 compare fact words with those of the slots, and copy what the best slot holds.

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
"""Values of an attention head; also the number of axes for facts."""

SOUGHT = 47
"""The first so many fact words are those that slots are looked up by."""

_FIRST_SLOW = 8
"""The rotary frequencies from here on turn so slowly that near and far tokens compare alike."""

_MARKER_AXIS = HEAD - 1
_EMBEDDING_STD = 0.1
_OUTPUT_SCALE = 0.1
_NEARBY_FREQUENCIES = 6
_SHARPNESS = 6.0
# Each axis has about this value in a normalised slot of five words.
_AXIS_IN_SLOT = 6.2
_SEEK_SLOTS = 10.0


@torch.no_grad()
def initialise_for_lookup(
    llama: LlamaForCausalLM,
    facts: list[dict[int, float]],
    related: dict[int, list[int]],
    marker: int,
) -> None:
    """Write the start into a new model.

    Args:
        facts: For each axis, the ids of the words along it and how much; 63 axes at most.
        related: Ids that start as a mixture of themselves and other words: plurals.
        marker: Id whose embedding every slot holds.
    """
    _initialise_embeddings(llama, facts, related, marker)
    width = llama.model.embed_tokens.weight.shape[1]
    layers = cast("Sequence[LlamaDecoderLayer]", llama.model.layers)
    for layer in layers:
        nn.init.normal_(layer.mlp.gate_proj.weight, std=1 / math.sqrt(width))
        nn.init.normal_(layer.mlp.up_proj.weight, std=1 / math.sqrt(width))
        _initialise_attention(layer.self_attn)
    frequencies = llama.model.rotary_emb.inv_freq
    first, second, third = (layer.self_attn for layer in layers[:3])
    _look_back(first, 0, 1, frequencies)
    _look_back(first, 1, 2, frequencies)
    _look_up(second, 0)
    _look_up(second, 1)
    _look_up(third, 0)


def _initialise_embeddings(
    llama: LlamaForCausalLM,
    facts: list[dict[int, float]],
    related: dict[int, list[int]],
    marker: int,
) -> None:
    embedding = llama.model.embed_tokens.weight
    width = embedding.shape[1]
    nn.init.normal_(embedding, std=_EMBEDDING_STD * math.sqrt(width / (width - HEAD)))
    embedding[:, :HEAD] = 0
    length = _EMBEDDING_STD * math.sqrt(width)
    for axis, shares in enumerate(facts):
        for number, share in shares.items():
            embedding[number, axis] = share
    for number in {number for shares in facts for number in shares}:
        along = embedding[number, :HEAD]
        embedding[number, HEAD:] *= 0.5
        along.mul_(0.87 * length / along.norm())
    embedding[marker] = 0
    embedding[marker, _MARKER_AXIS] = length
    for number, others in related.items():
        embedding[number].mul_(0.6).add_(0.8 * embedding[others].mean(0))
    llama.lm_head.weight.copy_(embedding)


def _initialise_attention(attention: LlamaAttention) -> None:
    """Make queries equal to keys, and the output the reverse of the values."""
    nn.init.normal_(attention.q_proj.weight, std=0.06)
    attention.k_proj.weight.copy_(attention.q_proj.weight)
    nn.init.orthogonal_(attention.v_proj.weight)
    attention.o_proj.weight.copy_(_OUTPUT_SCALE * attention.v_proj.weight.T)


def _look_back(attention: LlamaAttention, head: int, places: int, frequencies: Tensor) -> None:
    """Let a head copy the facts of the token so many places back; a slot copies its own."""
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
    attention.q_proj.weight[rows, _MARKER_AXIS] += (still - back) / _AXIS_IN_SLOT


def _look_up(attention: LlamaAttention, head: int) -> None:
    """Let a head find the slot that shares the most facts, and copy that slot's facts.

    Only the slowly turning values of the head compare, so that the distance does not matter.
    """
    rows = slice(head * HEAD, (head + 1) * HEAD)
    _copy_facts(attention, rows)
    half = HEAD // 2
    slow = [*range(_FIRST_SLOW, half), *range(half + _FIRST_SLOW, HEAD)]
    spread = torch.zeros(HEAD, HEAD)
    spread[slow[:-1], :SOUGHT] = nn.init.orthogonal_(torch.empty(SOUGHT, SOUGHT))
    spread[slow[-1], _MARKER_AXIS] = 1
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[rows] = 0
        projection.weight[rows, :HEAD] = spread
    attention.q_proj.bias[rows] = _SEEK_SLOTS * spread[:, _MARKER_AXIS]


def _copy_facts(attention: LlamaAttention, rows: slice) -> None:
    attention.v_proj.weight[rows] = 0
    attention.v_proj.weight[rows, :HEAD] = torch.eye(HEAD)
    attention.o_proj.weight[:, rows] = _OUTPUT_SCALE * attention.v_proj.weight[rows].T
