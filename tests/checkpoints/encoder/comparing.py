"""Comparison of embeddings."""

from pathlib import Path

import torch
from torch import Tensor

from service.images.decoding import decode_pixels
from service.model_folder.layout import ModelFolder
from service.vision.weights import load_vision_encoder

TOLERANCE = 1e-4
"""Largest allowed difference, relative to the largest value, in float32."""


def encode(folder: Path, data: bytes) -> Tensor:
    """Encode an image file with the encoder of a model folder."""
    encoder = load_vision_encoder(ModelFolder.open(folder).vision)
    with torch.inference_mode():
        return encoder(decode_pixels(data, encoder.config.image_size, 10**7)[None])


def assert_close(embeddings: Tensor, expected: Tensor) -> None:
    assert embeddings.shape == expected.shape
    scale = expected.abs().max()
    assert 0.1 < scale < 100, "values that vanish or explode prove nothing"
    assert (embeddings - expected).abs().max() / scale < TOLERANCE
