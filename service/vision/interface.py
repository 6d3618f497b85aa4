"""The interface through which requests encode images, wherever the encoder runs."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from torch import Tensor

from service.model_folder.vision_config import VisionConfig
from service.vision.encoded_image import EncodedImage

LoadPixels = Callable[[], Tensor]
"""Decodes one image to ``[image_size, image_size, 3]`` uint8; runs on a decoding thread."""


class Runtime(Protocol):
    """Decodes and encodes images for all requests of a process.

    :class:`service.vision.runtime.EncodingRuntime` encodes on a thread of the process,
    :class:`service.vision.remote.client.RemoteRuntime` in a process that all API processes share.
    """

    @property
    def config(self) -> VisionConfig:
        """Sizes of the encoder's input and output."""

    @property
    def ready(self) -> bool:
        """Whether images can be encoded now."""

    @property
    def failed(self) -> bool:
        """Whether the encoder no longer works. Only a new process helps."""

    @property
    def silence(self) -> float:
        """Seconds since the encoder last made progress; 0 while it has nothing to do."""

    @property
    def seconds_to_empty(self) -> float:
        """Estimated seconds to encode all queued images, at the speed of the last batch."""

    def shutdown(self) -> None:
        """Refuse new images and end. Idempotent."""

    async def encode(
        self, digest: str, load_pixels: LoadPixels, *, background: bool = False
    ) -> EncodedImage:
        """Encode one image, once for all concurrent callers with the same digest.

        ``background`` images wait for all others.

        Raises:
            EncoderNotReadyError, EncoderOverloadedError: before any work.
            ImageError: from ``load_pixels``.
            EncodingError: the encoder failed on this image.
        """

    async def find_cached(self, digest: str) -> EncodedImage | None:
        """The cached embeddings of an image; None where they would have to be computed."""

    def submit(
        self, digest: str, load_pixels: LoadPixels, *, background: bool = False
    ) -> "Future[EncodedImage]":
        """Do the same as :meth:`encode` from any thread; cancel the future to stop waiting."""

    async def on_decoding_thread(self, work: Callable[[], object]) -> None:
        """Run ``work``, which decodes an image without encoding it, on a decoding thread.

        Raises:
            EncoderNotReadyError: before any work.
            Exception: from ``work``.
        """
