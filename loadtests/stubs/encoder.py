"""An encoder that sleeps for as long as a GPU takes."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from loadtests.stubs.numbers import number_of
from service.vision.encoder import TorchEncoder

BATCH_SECONDS = 0.004
IMAGE_SECONDS = 0.0012
"""ViT-g with CUDA graphs on an H100, as measured: 4 ms a batch and 1.2 ms an image."""


def replace_encoder() -> None:
    """Let every encoder of this process be a stub. It loads no weights."""
    TorchEncoder.startup = _startup  # type: ignore[method-assign]
    TorchEncoder.begin = _begin  # type: ignore[method-assign]


def _startup(self: TorchEncoder) -> None:
    self._set_threads()


class _StubEncoding:
    """A batch on a device that takes one batch after the other."""

    def __init__(self, embeddings: Tensor) -> None:
        self._embeddings = embeddings
        self._end = time.monotonic() + BATCH_SECONDS + IMAGE_SECONDS * len(embeddings)

    @property
    def done(self) -> bool:
        return time.monotonic() >= self._end

    def wait(self) -> None:
        time.sleep(max(0.0, self._end - time.monotonic()))

    def get(self) -> Tensor:
        self.wait()
        return self._embeddings


def _begin(self: TorchEncoder, images: Sequence[Tensor]) -> _StubEncoding:
    """Fill each image's embeddings with its number."""
    numbers = torch.tensor([number_of(image) for image in images], dtype=torch.bfloat16)
    shape = (len(images), self.config.visual_tokens, self.config.hidden_size)
    return _StubEncoding(numbers[:, None, None].expand(shape).contiguous())
