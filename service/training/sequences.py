"""Samples and image embeddings to the inputs and labels of the language model."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from service.training.tokenization import IGNORED, IMAGE, TokenizedSample

__all__ = ["IGNORED", "build_sequences"]


def build_sequences(
    table: nn.Module, embedded: Tensor, samples: Sequence[TokenizedSample]
) -> tuple[Tensor, Tensor]:
    """Put each image's embeddings in its place in its sample's text, padded at the right.

    Attention is causal, so padding at the right changes nothing in a sample.

    Args:
        table: The word embeddings of the language model.
        embedded: Projected embeddings of all samples' images, ``[images, visual_tokens, width]``.

    Returns:
        Inputs ``[samples, length, width]`` and labels ``[samples, length]``.
    """
    visual = embedded.shape[1]
    lengths = [len(s.ids) + s.ids.count(IMAGE) * (visual - 1) for s in samples]
    ids = torch.zeros(len(samples), max(lengths), dtype=torch.long)
    labels = torch.full((len(samples), max(lengths)), IGNORED)
    rows: list[int] = []  # of the flattened inputs, one for each visual token
    shown: list[int] = []  # images that are not cut off
    image = 0
    for number, sample in enumerate(samples):
        place, next_image = 0, image
        for token, label in zip(sample.ids, sample.labels, strict=True):
            if token == IMAGE:
                rows += range(number * max(lengths) + place, number * max(lengths) + place + visual)
                shown.append(next_image)
                next_image += 1
                place += visual
            else:
                ids[number, place], labels[number, place] = token, label
                place += 1
        image += sample.images
    inputs = table(ids.to(embedded.device))
    flat = inputs.flatten(0, 1)
    visible = embedded[torch.tensor(shown, dtype=torch.long, device=embedded.device)]
    places = torch.tensor(rows, dtype=torch.long, device=embedded.device)
    flat = flat.index_copy(0, places, visible.flatten(0, 1).to(inputs.dtype))
    return flat.view_as(inputs), labels.to(embedded.device)
