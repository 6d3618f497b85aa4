"""Encoding across requests: one thread owns the encoder, request tasks await futures.

The event loop never waits for torch, and nobody waits for a batch to fill while the encoder idles.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

import torch
from torch import Tensor

from service.errors import EncoderNotReadyError, EncodingError
from service.model_folder.vision_config import VisionConfig
from service.vision import metrics
from service.vision.encoded_image import EncodedImage
from service.vision.encoder import Encoder
from service.vision.image_queue import EncodingLimits, ImageQueue, Job

FAILURES = 8
"""Encodings that fail one after the other before the encoder itself is doubted: a GPU that has failed once
fails for the rest of the process's life."""

logger = logging.getLogger("service.vision")

LoadPixels = Callable[[], Tensor]
"""Decodes one image: ``[image_size, image_size, 3]`` uint8; runs on a decoding thread."""


class EncodingRuntime:
    """Feeds an encoder. :meth:`startup` and :meth:`shutdown` bracket its life."""

    def __init__(self, encoder: Encoder, limits: EncodingLimits) -> None:
        self._encoder = encoder
        self._queue = ImageQueue(limits)
        self._limits = limits
        self._encoding = threading.Thread(target=self._run, name="image-encoding", daemon=True)
        self._decoding: ThreadPoolExecutor | None = None
        self._started: Future[None] = Future()
        self._failures = 0
        self._broken = False

    @property
    def config(self) -> VisionConfig:
        """Sizes of the encoder."""
        return self._encoder.config

    @property
    def ready(self) -> bool:
        """Whether images can be encoded now."""
        return self._decoding is not None and not self.failed

    @property
    def failed(self) -> bool:
        """Whether the encoder has stopped working: nothing but a new process helps."""
        return self._broken or (self._decoding is not None and not self._encoding.is_alive())

    @property
    def seconds_to_empty(self) -> float:
        """How long the queued images will take, by the last batch's speed."""
        return self._queue.seconds_to_empty

    def startup(self) -> None:
        """Load and warm up the encoder, then accept images; raises what the encoder raises."""
        self._encoding.start()
        self._started.result()
        self._decoding = ThreadPoolExecutor(self._limits.decode_threads, "image-decoding")

    def shutdown(self) -> None:
        """Refuse new images, fail the queued ones, finish the batch at hand. Idempotent."""
        self._queue.close()
        if self._decoding is not None:
            self._decoding.shutdown(cancel_futures=True)
            self._decoding = None
            self._encoding.join()

    async def encode(self, digest: str, load_pixels: LoadPixels) -> EncodedImage:
        """Encode one image, sharing the work with whoever asks for the same digest.

        Raises:
            EncoderNotReadyError, EncoderOverloadedError: before any work.
            ImageError: from ``load_pixels``.
            EncodingError: the encoder failed on this image.
        """
        return await asyncio.wrap_future(self.submit(digest, load_pixels))

    def submit(self, digest: str, load_pixels: LoadPixels) -> "Future[EncodedImage]":
        """As :meth:`encode`, from any thread; cancelling the future gives up the wait."""
        if (decoding := self._decoding) is None:
            raise EncoderNotReadyError("The vision encoder is not ready.")
        waiter, job = self._queue.enter(digest)
        if job is not None:
            decoding.submit(self._prepare, job, load_pixels)
        return waiter

    async def on_decoding_thread(self, work: Callable[[], None]) -> None:
        """Run what decodes an image that is not to be encoded, among the others; raises what it raises.

        Raises:
            EncoderNotReadyError: before any work.
        """
        if (decoding := self._decoding) is None:
            raise EncoderNotReadyError("The vision encoder is not ready.")
        await asyncio.wrap_future(decoding.submit(work))

    def _prepare(self, job: Job, load_pixels: LoadPixels) -> None:
        """On a decoding thread: the pixels of one job, or its failure."""
        if self._queue.drop_if_abandoned(job):
            return
        try:
            with metrics.PREPARE_SECONDS.time():
                pixels = load_pixels()
        except Exception as error:
            self._queue.pixels_failed(job, error)
        else:
            self._queue.pixels_ready(job, pixels)

    def _run(self) -> None:
        """On the encoding thread."""
        try:
            self._encoder.startup()
        except BaseException as error:
            self._started.set_exception(error)
        else:
            self._started.set_result(None)
            try:
                self._batching_loop()
            except Exception as error:
                logger.critical("The encoding of images ends: a bug.", exc_info=error)
            finally:
                self._queue.close()

    def _batching_loop(self) -> None:
        while not self._broken and (batch := self._queue.take_batch()):
            start = monotonic()
            metrics.BATCH_SIZE.observe(len(batch))
            for job in batch:
                metrics.QUEUE_SECONDS.observe(start - job.ready_at)
            self._encode_batch(batch)
            seconds = monotonic() - start
            metrics.ENCODE_SECONDS.observe(seconds)
            self._queue.seconds_per_image = seconds / len(batch)
            if self._failures >= FAILURES:
                self._doubt()

    def _encode_batch(self, batch: list[Job]) -> None:
        try:
            images = self._encode(batch)
        except Exception as error:
            logger.error("The vision encoder failed on %d images.", len(batch), exc_info=error)
            self._failures += 1
            self._isolate(batch, error)
            return
        self._failures = 0
        for job, image in zip(batch, images, strict=True):
            if torch.isfinite(image.embeddings).all():
                self._queue.finish(job, image)
            else:
                self._queue.fail(job, EncodingError("The encoder produced no finite embeddings."))

    def _isolate(self, batch: list[Job], error: Exception) -> None:
        """One bad image must not fail its neighbours: encode each alone."""
        if len(batch) > 1:
            for job in batch:
                self._encode_batch([job])
        else:
            failure = EncodingError("The vision encoder failed on this image.")
            failure.__cause__ = error
            self._queue.fail(batch[0], failure)

    def _encode(self, batch: list[Job]) -> list[EncodedImage]:
        embeddings = self._encoder.encode(torch.stack([_pixels(job) for job in batch]))
        if len(embeddings) != len(batch):
            raise RuntimeError(f"{len(batch)} images went in, {len(embeddings)} came out: a bug")
        # A copy each, so that a kept image does not keep its whole batch.
        return [
            EncodedImage(job.digest, rows.clone())
            for job, rows in zip(batch, embeddings, strict=True)
        ]

    def _doubt(self) -> None:
        """After many failures: the images' fault, or the encoder's? A blank image tells."""
        size = self.config.image_size
        try:
            self._encoder.encode(torch.zeros(1, size, size, 3, dtype=torch.uint8))
        except Exception as error:
            logger.critical("The vision encoder fails on every image.", exc_info=error)
            self._broken = True
        else:
            self._failures = 0


def _pixels(job: Job) -> Tensor:
    assert job.pixels is not None, "a job without pixels is in a batch: a bug"
    return job.pixels
