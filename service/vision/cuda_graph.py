"""A CUDA graph of the encoder for one batch size."""

from collections.abc import Callable, Sequence

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

    def begin(self, images: Sequence[Tensor]) -> "GraphEncoding":
        """Start the encoding of at most ``batch_size`` images.

        With fewer images, the other rows of the buffer hold old images, and their output is not
        read. All copies and kernels are queued on one stream, so that the next batch may begin
        before this one is read.
        """
        count = len(images)
        # PyTorch reuses pinned memory only after the copies that read it.
        staged = torch.empty((count, *self._pixels.shape[1:]), dtype=torch.uint8, pin_memory=True)
        torch.stack(list(images), out=staged)
        self._pixels[:count].copy_(staged, non_blocking=True)
        self._graph.replay()
        computed = _record_event()
        embeddings = self._embeddings[:count].to("cpu", non_blocking=True)  # pinned memory
        return GraphEncoding(computed, _record_event(), embeddings)


class GraphEncoding:
    """A batch on the GPU; see :class:`service.vision.encoding.Encoding`.

    Args:
        computed: Happens when the graph has run.
        copied: Happens when ``embeddings`` are complete.
        embeddings: ``[images, visual_tokens, hidden_size]``, in pinned memory.
    """

    def __init__(
        self, computed: torch.cuda.Event, copied: torch.cuda.Event, embeddings: Tensor
    ) -> None:
        self._computed, self._copied, self._embeddings = computed, copied, embeddings

    @property
    def done(self) -> bool:
        """Whether the embeddings are complete."""
        return bool(self._copied.query())

    def wait(self) -> None:
        """Wait until the graph has run."""
        self._computed.synchronize()

    def get(self) -> Tensor:
        """Wait until the embeddings are complete."""
        self._copied.synchronize()
        return self._embeddings


def _record_event() -> torch.cuda.Event:
    """Record an event whose waiting thread sleeps: a spinning one would take a core."""
    event = torch.cuda.Event(blocking=True)
    event.record()
    return event


def _warm_up(run: Run, pixels: Tensor) -> None:
    """Trigger lazy initialisation (cuBLAS workspaces, kernel choice) before the capture."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_RUNS):
            run(pixels)
    torch.cuda.current_stream().wait_stream(side)
