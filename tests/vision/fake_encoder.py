"""An encoder that a test controls, and functions that submit images to a runtime."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from service.errors import ImageFormatError
from service.model_folder.vision_config import QFormerShape, VisionConfig, ViTShape
from service.vision.encoded_image import EncodedImage
from service.vision.encoding import Encoding, FinishedEncoding
from service.vision.runtime import EncodingRuntime

StartRuntime = Callable[..., EncodingRuntime]
"""The fixture ``start_runtime``; its arguments are those of ``EncodingLimits``."""

CONFIG = VisionConfig(
    image_size=14,
    vit=ViTShape(hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1),
    qformer=QFormerShape(
        hidden_size=4,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        query_tokens=2,
    ),
    hidden_size=3,
)
POISON, NAN = 255, 254


class FakeEncoder:
    """Embeds an image as its first pixel, waits for ``go``, and fails on poison."""

    config = CONFIG

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.busy = threading.Event()
        self.started = 0

    def startup(self) -> None:
        self.started += 1

    def begin(self, images: Sequence[Tensor]) -> Encoding:
        return FinishedEncoding(self.encode(torch.stack(list(images))))

    def encode(self, pixels: Tensor) -> Tensor:
        values = pixels[:, 0, 0, 0].tolist()
        self.batches.append(values)
        self.busy.set()
        assert self.go.wait(30)
        if POISON in values:
            raise RuntimeError("CUDA error: secret details")
        embeddings = pixels[:, 0, 0, 0].float()[:, None, None].expand(-1, 2, 3).clone()
        embeddings[embeddings == NAN] = float("nan")
        return embeddings


class FakeGpuEncoder(FakeEncoder):
    """Encodes one batch after the other on a thread, so that a batch begins at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gpu = ThreadPoolExecutor(1)

    def begin(self, images: Sequence[Tensor]) -> Encoding:
        return _Begun(self.gpu.submit(self.encode, torch.stack(list(images))))


class _Begun:
    def __init__(self, embeddings: Future[Tensor]) -> None:
        self._embeddings = embeddings

    @property
    def done(self) -> bool:
        return self._embeddings.done()

    def wait(self) -> None:
        self._embeddings.result()

    def get(self) -> Tensor:
        return self._embeddings.result()


def make_pixels(value: int) -> Callable[[], Tensor]:
    return lambda: torch.full((14, 14, 3), value, dtype=torch.uint8)


def submit(
    runtime: EncodingRuntime, value: int, digest: str | None = None, *, background: bool = False
) -> Future[EncodedImage]:
    return runtime.submit(digest or str(value), make_pixels(value), background=background)


def value_of(future: Future[EncodedImage]) -> float:
    return future.result(10).embeddings[0, 0].item()


def hold_busy(
    runtime: EncodingRuntime, encoder: FakeEncoder, value: int = 9
) -> Future[EncodedImage]:
    """Keep the encoder busy with one image until ``encoder.go`` is set."""
    encoder.go.clear()
    encoder.busy.clear()
    future = submit(runtime, value)
    assert encoder.busy.wait(10)
    return future


def wait_for_ready(runtime: EncodingRuntime, count: int) -> None:
    """Block until ``count`` decoded images wait for the next batch."""
    queue = runtime._queue
    with queue._changed:
        assert queue._changed.wait_for(
            lambda: len(queue._ready) + len(queue._background_ready) == count, 10
        )


def fail_to_decode() -> Tensor:
    """Stand in for the decoding of a damaged image."""
    raise ImageFormatError("broken")
