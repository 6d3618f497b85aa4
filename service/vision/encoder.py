"""The contract of an encoder, and the encoder that runs torch on a CPU or a GPU."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from service.model_folder.vision_config import VisionConfig
from service.tensors.cpu_dtype import has_fast_bfloat16
from service.vision.cuda_graph import CapturedBatch, Run
from service.vision.encoding import Encoding, FinishedEncoding
from service.vision.weights import load_vision_encoder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Encoder(Protocol):
    """Turns a batch of pixels into projected embeddings. One thread calls all methods."""

    @property
    def config(self) -> VisionConfig:
        """Sizes of the input and the output."""

    def startup(self) -> None:
        """Load the weights and warm up; raise if the encoder cannot serve."""

    def begin(self, images: Sequence[Tensor]) -> Encoding:
        """Begin to encode a batch; its rows come in the same order.

        Args:
            images: ``[image_size, image_size, 3]`` uint8 each, on the CPU.
        """


class TorchEncoder:
    """The encoder for production. On a GPU it replays one CUDA graph per batch size."""

    def __init__(
        self,
        folder: Path,
        config: VisionConfig,
        device: torch.device,
        dtype: torch.dtype,
        batch_sizes: Sequence[int],
        threads: int = 0,
        features: bool = False,
    ) -> None:
        """Store the arguments; :meth:`startup` loads the weights.

        Args:
            folder: ``vision/`` of a model folder.
            batch_sizes: Batch sizes to capture on a GPU, ascending.
            threads: CPU threads of one encoding; 0 means half of the cores on a CPU, one on a GPU.
            features: Give the projection's input instead of embeddings, for projections by name.
        """
        self.config = config
        self._folder = folder
        self._device = device
        self._dtype = dtype
        self._batch_sizes = tuple(batch_sizes)
        self._threads = threads
        self._features = features
        self._run: Run | None = None
        self._graphs: dict[int, CapturedBatch] = {}

    @torch.inference_mode()
    def startup(self) -> None:
        """Load the weights and warm up: one image on a CPU, every batch size on a GPU."""
        self._set_threads()
        if self._device.type == "cuda" and self._device.index is not None:
            # Graphs are captured on a stream of the thread's current GPU, which is otherwise the
            # first one: a graph of another GPU would be empty and replay nothing.
            torch.cuda.set_device(self._device)
        model = load_vision_encoder(self._folder, self._dtype).to(self._device)
        self._run = model.visual_features if self._features else model
        if self._device.type == "cuda":
            self._capture_graphs(self._run)
        else:
            self._run(self._make_blank_batch(1))

    @torch.inference_mode()
    def begin(self, images: Sequence[Tensor]) -> Encoding:
        """Start the smallest graph that fits, or encode without a graph; see :class:`Encoder`."""
        assert self._run is not None, "begin() was called before startup(): this is a bug"
        size = next((size for size in sorted(self._graphs) if size >= len(images)), None)
        if size is not None:
            return self._graphs[size].begin(images)
        return FinishedEncoding(self._run(torch.stack(list(images)).to(self._device)).cpu())

    def _set_threads(self) -> None:
        """Set the threads of the calling thread, which is the only one that encodes."""
        if self._threads:
            torch.set_num_threads(self._threads)
        else:
            # On a GPU the CPU only copies; threads that are woken for that spin afterwards.
            on_cpu = self._device.type == "cpu"
            torch.set_num_threads(_count_half_the_cores() if on_cpu else 1)

    def _capture_graphs(self, run: Run) -> None:
        # Largest first, so that the smaller graphs reuse its memory pool.
        for size in reversed(self._batch_sizes):
            self._graphs[size] = CapturedBatch(run, self._make_blank_batch(size))

    def _make_blank_batch(self, images: int) -> Tensor:
        size = self.config.image_size
        return torch.zeros(images, size, size, 3, dtype=torch.uint8, device=self._device)


def choose_device(name: str) -> torch.device:
    """Turn the setting into a device; ``auto`` is the first GPU, or the CPU without one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Turn the setting into a dtype.

    ``auto`` is bfloat16 on a GPU and on a CPU with AMX, else float32.
    """
    if name != "auto":
        return DTYPES[name]
    return torch.bfloat16 if device.type == "cuda" or has_fast_bfloat16() else torch.float32


def _count_half_the_cores() -> int:
    """Return half of the cores, because the engine computes on the same cores.

    OpenMP's threads wait for each other at every operator. If the engine occupies the core of one
    thread, all of them wait for its time slice each time (docs/log/performance.md).
    """
    return max(1, len(os.sched_getaffinity(0)) // 2)
