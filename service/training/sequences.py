"""Samples and image embeddings to the inputs and labels of the language model."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from service.training.formats import TokenizedSample

IGNORED = -100
"""Label of a position that does not count in the loss; PyTorch's default."""


def build_sequences(
    table: nn.Module, embedded: Tensor, samples: Sequence[TokenizedSample]
) -> tuple[Tensor, Tensor]:
    """Put each image's embeddings between its sample's text, padded at the right.

    Attention is causal, so padding at the right changes nothing in a sample.

    Args:
        table: The word embeddings of the language model.
        embedded: Projected embeddings, ``[samples, visual_tokens, width]``.

    Returns:
        Inputs ``[samples, length, width]`` and labels ``[samples, length]``.
    """
    visual = embedded.shape[1]
    length = max(len(s.before) + visual + len(s.after) + len(s.target) for s in samples)
    ids = torch.zeros(len(samples), length, dtype=torch.long)
    labels = torch.full((len(samples), length), IGNORED)
    places = torch.zeros(len(samples), visual, dtype=torch.long)
    for row, sample in enumerate(samples):
        start = len(sample.before)
        end = start + visual + len(sample.after)
        ids[row, :start] = torch.tensor(sample.before)
        ids[row, start + visual : end] = torch.tensor(sample.after, dtype=torch.long)
        ids[row, end : end + len(sample.target)] = torch.tensor(sample.target)
        labels[row, end : end + len(sample.target)] = torch.tensor(sample.target)
        places[row] = torch.arange(start, start + visual)
    inputs = table(ids.to(embedded.device))
    places = places[..., None].expand(-1, -1, inputs.shape[-1]).to(embedded.device)
    return inputs.scatter(1, places, embedded.to(inputs.dtype)), labels.to(embedded.device)
