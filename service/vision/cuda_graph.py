"""A CUDA graph of the encoder for one batch size."""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP_RUNS = 2

Run = Callable[[Tensor], Tensor]
"""The encoder: pixels in, embeddings or features out."""


class CapturedBatch:
    """A captured graph with its input and output buffers. All graphs share one memory pool.

    Args:
        pixels: ``[batch_size, image_size, image_size, 3]`` uint8 on the GPU; becomes the input
            buffer.
    """

    _pool: "torch.cuda._POOL_HANDLE | None" = None

    def __init__(self, run: Run, pixels: Tensor) -> None:
        self._pixels = pixels
        _warm_up(run, pixels)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=CapturedBatch._pool):
            self._embeddings = run(pixels)
        CapturedBatch._pool = self._graph.pool()

    def replay(self, pixels: Tensor) -> Tensor:
        """Encode at most ``batch_size`` images.

        With fewer images, the other rows of the buffer hold old images, and their output is not
        read.
        """
        self._pixels[: len(pixels)].copy_(pixels)
        self._graph.replay()
        return self._embeddings[: len(pixels)].cpu()


def _warm_up(run: Run, pixels: Tensor) -> None:
    """Trigger lazy initialisation (cuBLAS workspaces, kernel choice) before the capture."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_RUNS):
            run(pixels)
    torch.cuda.current_stream().wait_stream(side)
