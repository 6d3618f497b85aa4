"""The contract of an encoder, and the one that runs torch on a CPU or a GPU."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from service.model_folder.vision_config import VisionConfig
from service.tensors.cpu_dtype import bfloat16_pays
from service.vision.model import VisionEncoder
from service.vision.weights import load_vision_encoder


class Encoder(Protocol):
    """Turns a batch of pixels into projected embeddings; called from one thread only."""

    @property
    def config(self) -> VisionConfig:
        """Sizes of what goes in and comes out."""

    def startup(self) -> None:
        """Load the weights and warm up; raises if the encoder cannot serve."""

    def encode(self, pixels: Tensor) -> Tensor:
        """``[images, image_size, image_size, 3]`` uint8 on the CPU to
        ``[images, visual_tokens, hidden_size]`` on the CPU, in the same order."""


class TorchEncoder:
    """The real encoder. On a GPU it replays one captured CUDA graph per batch size."""

    def __init__(
        self,
        folder: Path,
        config: VisionConfig,
        device: torch.device,
        dtype: torch.dtype,
        batch_sizes: Sequence[int],
        threads: int = 0,
    ) -> None:
        """Args:
        folder: ``vision/`` of a model folder.
        batch_sizes: Batch sizes to warm up and, on a GPU, to capture; ascending.
        threads: CPU threads of one encoding; 0 is :func:`fair_threads` on a CPU.
        """
        self.config = config
        self._folder = folder
        self._device = device
        self._dtype = dtype
        self._batch_sizes = tuple(batch_sizes)
        self._threads = threads
        self._model: VisionEncoder | None = None
        self._graphs: dict[int, CapturedBatch] = {}

    @torch.inference_mode()
    def startup(self) -> None:
        """Load, move, and run every batch size once (captured on a GPU)."""
        if self._threads:
            torch.set_num_threads(self._threads)
        elif self._device.type == "cpu":
            torch.set_num_threads(fair_threads())
        self._model = load_vision_encoder(self._folder, self._dtype).to(self._device)
        if self._device.type == "cuda":
            # Largest first, so that the smaller graphs reuse its memory pool.
            for size in reversed(self._batch_sizes):
                self._graphs[size] = CapturedBatch(self._model, self._blank(size))
        else:
            self._model(self._blank(1))

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """See :class:`Encoder`."""
        assert self._model is not None, "encode() before startup(): a bug of ours"
        size = next((size for size in sorted(self._graphs) if size >= len(pixels)), None)
        if size is not None:
            return self._graphs[size].replay(pixels)
        return self._model(pixels.to(self._device)).cpu()

    def _blank(self, images: int) -> Tensor:
        size = self.config.image_size
        return torch.zeros(images, size, size, 3, dtype=torch.uint8, device=self._device)


class CapturedBatch:
    """A CUDA graph of the encoder for one batch size, with its input and output buffers."""

    _pool: tuple[int, int] | None = None

    def __init__(self, model: VisionEncoder, pixels: Tensor) -> None:
        self._pixels = pixels
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        # Lazy initialisations (cuBLAS workspaces, kernel choice) must happen before the capture.
        with torch.cuda.stream(side):
            for _ in range(2):
                model(pixels)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=CapturedBatch._pool):
            self._embeddings = model(pixels)
        CapturedBatch._pool = self._graph.pool()

    def replay(self, pixels: Tensor) -> Tensor:
        """Encode up to this graph's batch size; rows beyond the batch hold old images, unread."""
        self._pixels[: len(pixels)].copy_(pixels)
        self._graph.replay()
        return self._embeddings[: len(pixels)].cpu()


def fair_threads() -> int:
    """Half of the cores: the engine computes on the same ones.

    OpenMP's threads wait for each other at every operator; when the engine has taken one's core, the
    others wait for a time slice at each (docs/performance.md).
    """
    return max(1, len(os.sched_getaffinity(0)) // 2)


def choose_device(name: str) -> torch.device:
    """``auto`` is the first GPU where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto`` is bfloat16 on a GPU, and on a CPU that multiplies it faster than float32."""
    if name != "auto":
        return {
            "float32": torch.float32,
            "bfloat16": torch.bfloat16,
            "float16": torch.float16,
        }[name]
    return torch.bfloat16 if device.type == "cuda" or bfloat16_pays() else torch.float32
