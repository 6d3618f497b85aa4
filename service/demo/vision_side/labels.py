"""Rendered scenes with their labels: what each query token and each patch should know."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from service.scenes.render import LabelledPicture, render_labelled
from service.scenes.scene import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    KINDS,
    NUMBERS,
    SIZES,
    TEXTS,
    Scene,
    draw_scene,
    replace_with_texts,
    rng_for,
)

QUERIES = CELLS + 3
"""Query tokens: nine cells, the background, the number of objects, the written text."""

FIELDS = {
    "kind": len(KINDS) + 1,  # the last class is an empty cell
    "colour": len(COLOURS),
    "size": len(SIZES),
    "text": len(TEXTS) + 1,  # the last class means no text
    "background": len(BACKGROUNDS),
    "count": len(NUMBERS),
    "query": QUERIES,
}
"""What a query token can know: field and number of classes."""

IGNORED = -100
"""Label of a field that does not count in the loss; PyTorch's default."""

PATCH = 28
"""Side of a patch in pixels."""

PATCHES = 8
"""Patches of a side of the picture."""

_CROWDED_SHARE = 0.6
_TEXT_SHARE = 0.5
_MARGIN = 8
"""Pixels beyond an object in which a patch's centre still counts as on it."""


class SceneLabels(Dataset[dict[str, Tensor]]):
    """Sample ``i`` of a split is made from seed ``i``.

    A sample has ``pixels [224, 224, 3]``, ``fields [12, 7]``, and for each of 64 patches
    ``patches [64, 2]`` (kind and colour) and ``covered [64, 16]``.

    Args:
        split: Name of the split, which seeds it.
        length: Number of samples.
        written: Every scene has a text.
        texts: Share of scenes in which every other object is a text.
    """

    def __init__(
        self, split: str, length: int, *, written: bool = False, texts: float = 0.0
    ) -> None:
        self.split, self.length, self.written, self.texts = split, length, written, texts

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = rng_for(self.split, index)
        scene = draw_scene(rng, crowded=rng.random() < _CROWDED_SHARE)
        while self.written and not scene.written:
            scene = draw_scene(rng, crowded=rng.random() < _CROWDED_SHARE)
        if self.texts and rng.random() < self.texts:
            scene = replace_with_texts(scene, rng, _TEXT_SHARE)
        picture = render_labelled(scene, rng)
        return {
            "pixels": torch.from_numpy(np.array(picture.image)),
            "fields": _label_queries(scene),
            "patches": _label_patches(scene, picture),
            "covered": _measure_cover(picture),
        }


def _label_queries(scene: Scene) -> Tensor:
    names = list(FIELDS)
    fields = torch.full((QUERIES, len(FIELDS)), IGNORED)
    fields[:, names.index("query")] = torch.arange(QUERIES)
    fields[:CELLS, names.index("kind")] = len(KINDS)
    for item in scene.objects:
        classes = [KINDS.index(item.kind), COLOURS.index(item.colour), SIZES.index(item.size)]
        fields[item.cell, :3] = torch.tensor(classes)
        if item.text:
            fields[item.cell, names.index("text")] = TEXTS.index(item.text)
    fields[CELLS, names.index("background")] = BACKGROUNDS.index(scene.background)
    fields[CELLS + 1, names.index("count")] = len(scene.objects)
    # With several texts, the query token for the text would have several answers.
    if sum(bool(item.text) for item in scene.objects) <= 1:
        written = scene.written
        text = TEXTS.index(written.text) if written else len(TEXTS)
        fields[CELLS + 2, names.index("text")] = text
    return fields


def _label_patches(scene: Scene, picture: LabelledPicture) -> Tensor:
    patches = torch.full((PATCHES * PATCHES, 2), IGNORED)
    patches[:, 0] = len(KINDS)
    centres = (torch.arange(PATCHES) + 0.5) * PATCH
    for item, (x, y, radius) in zip(scene.objects, picture.located, strict=True):
        near = ((centres[None, :] - x).abs() < radius + _MARGIN) & (
            (centres[:, None] - y).abs() < radius + _MARGIN
        )
        classes = [KINDS.index(item.kind), COLOURS.index(item.colour)]
        patches[near.flatten()] = torch.tensor(classes)
    return patches


def _measure_cover(picture: LabelledPicture) -> Tensor:
    """Return 16 shares for each patch: how much of each 7 x 7 square the objects cover."""
    covered = torch.from_numpy(np.array(picture.silhouette)).float() / 255
    squares = covered.view(PATCHES, 4, 7, PATCHES, 4, 7).mean((2, 5))
    return squares.transpose(1, 2).reshape(PATCHES * PATCHES, 16)
