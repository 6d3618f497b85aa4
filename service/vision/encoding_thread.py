"""The thread that owns the encoder: it takes batches, encodes them and delivers the results."""

import logging
import threading
from concurrent.futures import Future
from time import monotonic

import torch

from service.errors import EncodingError
from service.tensors.finite import is_finite
from service.vision import metrics
from service.vision.encoded_image import EncodedImage
from service.vision.encoder import Encoder
from service.vision.image_queue import ImageQueue, Job

MAX_FAILURES = 8
"""Failed encodings in a row after which the encoder itself is tested. A GPU that has failed once
fails until the process ends."""

logger = logging.getLogger("service.vision")


class EncodingThread:
    """Runs the encoder until the queue is closed. No other thread calls the encoder.

    Attributes:
        failed: Whether the encoder no longer works. Only a new process helps.
        batch_started: Monotonic time at which the current batch began; None between batches.
    """

    def __init__(self, encoder: Encoder, queue: ImageQueue) -> None:
        self.failed = False
        self.batch_started: float | None = None
        self._encoder = encoder
        self._queue = queue
        self._thread = threading.Thread(target=self._run, name="image-encoding", daemon=True)
        self._started: Future[None] = Future()
        self._failures = 0

    def startup(self) -> None:
        """Start the thread and wait until the encoder is warm; raise the encoder's exception."""
        self._thread.start()
        self._started.result()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended; ``timeout`` is in seconds."""
        self._thread.join(timeout)

    # Everything below runs on the thread.

    def _run(self) -> None:
        try:
            self._encoder.startup()
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        try:
            self._run_batches()
        except BaseException as error:
            logger.critical("The encoding thread has crashed: this is a bug.", exc_info=error)
            self.failed = True
        finally:
            self._queue.close()

    def _run_batches(self) -> None:
        while not self.failed and (batch := self._queue.take_batch()):
            self.batch_started = start = monotonic()
            self._record_start(batch, start)
            self._process(batch)
            self.batch_started = None
            self._record_end(batch, monotonic() - start)
            if self._failures >= MAX_FAILURES:
                self._test_encoder()

    def _process(self, batch: list[Job]) -> None:
        try:
            images = self._encode(batch)
        except Exception as error:
            self._retry_alone(batch, error)
        else:
            self._failures = 0
            self._deliver(batch, images)

    def _encode(self, batch: list[Job]) -> list[EncodedImage]:
        start = monotonic()
        embeddings = self._encoder.encode(torch.stack([_get_pixels(job) for job in batch]))
        seconds = (monotonic() - start) / len(batch)
        if len(embeddings) != len(batch):
            raise RuntimeError(
                f"{len(batch)} images went in, {len(embeddings)} embeddings came out: this is a bug."
            )
        # Copy each row, so that a cached image does not keep the memory of its whole batch.
        return [
            EncodedImage(job.digest, rows.clone(), seconds)
            for job, rows in zip(batch, embeddings, strict=True)
        ]

    def _deliver(self, batch: list[Job], images: list[EncodedImage]) -> None:
        for job, image in zip(batch, images, strict=True):
            if is_finite(image.embeddings):
                self._queue.finish(job, image)
            else:
                self._queue.fail(job, EncodingError("The image's embeddings are not finite."))

    def _retry_alone(self, batch: list[Job], error: Exception) -> None:
        """Encode each image of a failed batch alone, so that one bad image fails no other."""
        logger.error("The vision encoder failed on %d images.", len(batch), exc_info=error)
        self._failures += 1
        if len(batch) > 1:
            for job in batch:
                self._process([job])
        else:
            failure = EncodingError("The vision encoder failed on this image.")
            failure.__cause__ = error
            self._queue.fail(batch[0], failure)

    def _test_encoder(self) -> None:
        """Encode a blank image, to tell whether the images or the encoder caused the failures."""
        size = self._encoder.config.image_size
        try:
            self._encoder.encode(torch.zeros(1, size, size, 3, dtype=torch.uint8))
        except Exception as error:
            logger.critical("The vision encoder fails on every image.", exc_info=error)
            self.failed = True
        else:
            self._failures = 0

    def _record_start(self, batch: list[Job], start: float) -> None:
        metrics.BATCH_SIZE.observe(len(batch))
        for job in batch:
            metrics.QUEUE_SECONDS.observe(start - job.ready_at)

    def _record_end(self, batch: list[Job], seconds: float) -> None:
        metrics.ENCODE_SECONDS.observe(seconds)
        self._queue.seconds_per_image = seconds / len(batch)


def _get_pixels(job: Job) -> torch.Tensor:
    assert job.pixels is not None, "a job without pixels is in a batch: this is a bug"
    return job.pixels
