"""A cache for image features: each image of a small data set is encoded once."""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor


class FeatureCache:
    """The features of an encoder, kept in memory by the pixels of the image.

    A full cache keeps its oldest entries: a data set is read in rounds, so the oldest image comes
    next.

    Args:
        encode: A frozen encoder: ``[images, side, side, 3]`` pixels to ``[images, visual_tokens,
            width]``.
        max_bytes: Most bytes of features to keep. Images beyond that are encoded each time.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor], max_bytes: int) -> None:
        self._encode, self._free_bytes = encode, max_bytes
        self._features: dict[bytes, Tensor] = {}

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the features of a batch, in its order."""
        keys = [_digest(image) for image in pixels.cpu()]
        missing = [row for row, key in enumerate(keys) if key not in self._features]
        encoded = dict(zip(missing, self._encode(pixels[missing]), strict=True)) if missing else {}
        features = [
            encoded[row] if row in encoded else self._features[key] for row, key in enumerate(keys)
        ]
        for row, feature in encoded.items():
            self._store(keys[row], feature)
        return torch.stack(features)

    def _store(self, key: bytes, feature: Tensor) -> None:
        size = feature.numel() * feature.element_size()
        if key in self._features or size > self._free_bytes:
            return
        self._free_bytes -= size
        # A copy: a view would keep the whole batch in memory.
        self._features[key] = feature.clone()


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
