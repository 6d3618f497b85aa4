"""An encoder that a test controls, and functions that submit images to a runtime."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import torch
from torch import Tensor

from service.errors import ImageFormatError
from service.model_folder.vision_config import QFormerShape, VisionConfig, ViTShape
from service.vision.encoded_image import EncodedImage
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
