"""Features of images that were seen before: a frozen encoder says the same again, so it is asked once."""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor


class FrozenFeatures:
    """An encoder's features, kept in memory by what an image shows, up to a bound.

    Nothing is dropped for something newer: a data set is read in rounds, in which the oldest comes first.

    Args:
        encode: Frozen: ``[images, side, side, 3]`` pixels to ``[images, visual_tokens, width]``.
        most_bytes: Bytes of features that are kept at most; later images are encoded each time.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor], most_bytes: int) -> None:
        self._encode, self._left = encode, most_bytes
        self._known: dict[bytes, Tensor] = {}

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Features of a batch, in its order."""
        keys = [_digest(image) for image in pixels.cpu()]
        new = [place for place, key in enumerate(keys) if key not in self._known]
        fresh = dict(zip(new, self._encode(pixels[new]), strict=True)) if new else {}
        features = [
            fresh[place] if place in fresh else self._known[key] for place, key in enumerate(keys)
        ]
        for place, feature in fresh.items():
            self._keep(keys[place], feature)
        return torch.stack(features)

    def _keep(self, key: bytes, feature: Tensor) -> None:
        size = feature.numel() * feature.element_size()
        if key in self._known or size > self._left:
            return
        self._left -= size
        # A copy: a view would keep the whole batch.
        self._known[key] = feature.clone()


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
