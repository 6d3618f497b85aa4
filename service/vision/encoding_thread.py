"""The thread that owns the encoder: it takes batches, encodes them and delivers the results.

On a GPU the next batch begins before the results of the last one are delivered, so that the GPU
does not wait for the copies to the CPU.
"""

import logging
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

import torch

from service.errors import EncodingError
from service.tensors.finite import is_finite
from service.vision import metrics
from service.vision.encoded_image import EncodedImage
from service.vision.encoder import Encoder
from service.vision.encoding import Encoding
from service.vision.image_queue import ImageQueue, Job

MAX_FAILURES = 8
"""Failed encodings in a row after which the encoder itself is tested. A GPU that has failed once
fails until the process ends."""

logger = logging.getLogger("service.vision")


@dataclass
class _Batch:
    """A batch that has begun.

    Attributes:
        started: Monotonic time in seconds.
        seconds: How long the encoder was busy with it; 0 until that is known.
    """

    jobs: list[Job]
    started: float
    encoding: Encoding
    seconds: float = 0.0


class EncodingThread:
    """Runs the encoder until the queue is closed. No other thread calls the encoder.

    Attributes:
        failed: Whether the encoder no longer works. Only a new process helps.
        batch_started: Monotonic time at which the current batch began; None while there is none.
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
        running: _Batch | None = None
        try:
            while not self.failed:
                if running is None:
                    self.batch_started = None
                else:
                    self.batch_started = running.started
                    self._wait(running)
                jobs = self._queue.take_batch(wait=running is None)
                if running is None and not jobs:
                    return
                last, running = running, self._start(jobs) if jobs else None
                if last is not None:
                    self._finish(last)
                if self._failures >= MAX_FAILURES:
                    self._test_encoder()
        finally:
            if running is not None:
                self._finish(running)

    def _start(self, jobs: list[Job]) -> _Batch | None:
        """Begin a batch. Returns None if it is finished already, as always on a CPU."""
        self.batch_started = start = monotonic()
        metrics.BATCH_SIZE.observe(len(jobs))
        for job in jobs:
            metrics.QUEUE_SECONDS.observe(start - job.ready_at)
        try:
            batch = _Batch(jobs, start, self._encoder.begin([_get_pixels(job) for job in jobs]))
        except Exception as error:
            self._retry_alone(jobs, error)
            return None
        if not batch.encoding.done:
            return batch
        self._wait(batch)
        self._finish(batch)
        return None

    def _wait(self, batch: _Batch) -> None:
        """Wait until the next batch may begin."""
        with suppress(Exception):  # get() raises it again, where its jobs are at hand
            batch.encoding.wait()
        batch.seconds = monotonic() - batch.started
        metrics.ENCODE_SECONDS.observe(batch.seconds)
        self._queue.seconds_per_image = batch.seconds / len(batch.jobs)

    def _finish(self, batch: _Batch) -> None:
        """Deliver the results of a batch, or encode its images alone."""
        try:
            images = _list_images(batch)
        except Exception as error:
            self._retry_alone(batch.jobs, error)
        else:
            self._failures = 0
            self._deliver(batch.jobs, images)

    def _deliver(self, batch: list[Job], images: list[EncodedImage]) -> None:
        for job, image in zip(batch, images, strict=True):
            if is_finite(image.embeddings):
                self._queue.finish(job, image)
            else:
                self._queue.fail(job, EncodingError("The image's embeddings are not finite."))

    def _retry_alone(self, jobs: list[Job], error: Exception) -> None:
        """Encode each image of a failed batch alone, so that one bad image fails no other."""
        logger.error("The vision encoder failed on %d images.", len(jobs), exc_info=error)
        self._failures += 1
        if len(jobs) > 1:
            for job in jobs:
                self._encode_alone(job)
        else:
            failure = EncodingError("The vision encoder failed on this image.")
            failure.__cause__ = error
            self._queue.fail(jobs[0], failure)

    def _encode_alone(self, job: Job) -> None:
        try:
            batch = _Batch([job], monotonic(), self._encoder.begin([_get_pixels(job)]))
        except Exception as error:
            self._retry_alone([job], error)
        else:
            self._wait(batch)
            self._finish(batch)

    def _test_encoder(self) -> None:
        """Encode a blank image, to tell whether the images or the encoder caused the failures."""
        size = self._encoder.config.image_size
        try:
            self._encoder.begin([torch.zeros(size, size, 3, dtype=torch.uint8)]).get()
        except Exception as error:
            logger.critical("The vision encoder fails on every image.", exc_info=error)
            self.failed = True
        else:
            self._failures = 0


def _list_images(batch: _Batch) -> list[EncodedImage]:
    """Wait for a batch's results; raises the encoder's exception."""
    jobs, embeddings = batch.jobs, batch.encoding.get()
    if len(embeddings) != len(jobs):
        raise RuntimeError(
            f"{len(jobs)} images went in, {len(embeddings)} embeddings came out: this is a bug."
        )
    # Copy each row, so that a cached image does not keep the memory of its whole batch.
    return [
        EncodedImage(job.digest, rows.clone(), batch.seconds / len(jobs))
        for job, rows in zip(jobs, embeddings, strict=True)
    ]


def _get_pixels(job: Job) -> torch.Tensor:
    assert job.pixels is not None, "a job without pixels is in a batch: this is a bug"
    return job.pixels
