"""The queue of images for the encoder: admission, deduplication, the next batch, the cache.

The queue only does bookkeeping: it starts no thread and computes nothing. One lock guards all
state, so any thread may call it. Three kinds of threads do:

* a request's thread calls :meth:`ImageQueue.enter`;
* a decoding thread then calls :meth:`ImageQueue.add_pixels` or :meth:`ImageQueue.fail_decoding`;
* the encoding thread calls :meth:`ImageQueue.take_batch`, and :meth:`ImageQueue.finish` or
  :meth:`ImageQueue.fail` for each job.
"""

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from time import monotonic

from cachetools import LRUCache
from torch import Tensor

from service.errors import EncoderNotReadyError, EncoderOverloadedError
from service.vision import metrics
from service.vision.encoded_image import EncodedImage
from service.vision.limits import EncodingLimits


@dataclass(eq=False)
class Job:
    """The encoding of one image, for all requests that wait for it.

    Attributes:
        waiters: One future per request.
        pixels: ``[image_size, image_size, 3]`` uint8; None until the image is decoded.
        ready_at: Monotonic time in seconds at which the pixels were added.
    """

    digest: str
    waiters: list["Future[EncodedImage]"] = field(default_factory=list)
    pixels: Tensor | None = None
    ready_at: float = 0.0


class ImageQueue:
    """The queue, the jobs of all stages, and the cache of embeddings.

    Attributes:
        seconds_per_image: Duration of the last batch divided by its size; the encoding thread sets
            it.
    """

    def __init__(self, limits: EncodingLimits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._ready: deque[Job] = deque()
        self._cache: LRUCache[str, EncodedImage] = LRUCache(
            max(limits.cache_bytes, 1), getsizeof=lambda image: image.embeddings.nbytes
        )
        self._queued = 0
        self._open = True
        self.seconds_per_image = 0.0

    @property
    def seconds_to_empty(self) -> float:
        """Estimated seconds to encode all queued images, at the speed of the last batch."""
        return self._queued * self.seconds_per_image

    def enter(self, digest: str) -> "tuple[Future[EncodedImage], Job | None]":
        """Ask for the embeddings of an image.

        Returns:
            The future, and a job if the caller must have the image decoded.

        Raises:
            EncoderNotReadyError: the queue is closed.
            EncoderOverloadedError: the queue is full.
        """
        waiter: Future[EncodedImage] = Future()
        with self._changed:
            if not self._open:
                raise EncoderNotReadyError("The vision encoder is not ready.")
            if (cached := self._cache.get(digest)) is not None:
                metrics.IMAGES.labels("cached").inc()
                waiter.set_result(cached)
                return waiter, None
            if (job := self._jobs.get(digest)) is not None:
                metrics.IMAGES.labels("deduplicated").inc()
                job.waiters.append(waiter)
                return waiter, None
            if self._queued >= self._limits.max_queue:
                metrics.IMAGES.labels("rejected").inc()
                raise EncoderOverloadedError("Too many images are waiting; try again later.")
            job = self._jobs[digest] = Job(digest, [waiter])
            self._count_queued(+1)
            return waiter, job

    def find_cached(self, digest: str) -> EncodedImage | None:
        """The cached embeddings of an image."""
        with self._changed:
            return self._cache.get(digest)

    def add_pixels(self, job: Job, pixels: Tensor) -> None:
        """Add the decoded image, so that the job can join a batch."""
        with self._changed:
            job.pixels, job.ready_at = pixels, monotonic()
            self._ready.append(job)
            self._changed.notify_all()

    def fail_decoding(self, job: Job, error: Exception) -> None:
        """Remove a job whose image cannot be decoded, and give ``error`` to its waiters."""
        with self._changed:
            self._count_queued(-1)
        self.fail(job, error)

    def drop_if_abandoned(self, job: Job) -> bool:
        """Drop a queued job if all its waiters are cancelled; return whether it was dropped."""
        with self._changed:
            return self._drop_if_abandoned(job)

    def take_batch(self) -> list[Job]:
        """Wait for decoded jobs and take up to ``max_batch``. Empty only after :meth:`close`."""
        with self._changed:
            batch: list[Job] = []
            while self._open and not batch:
                if self._ready:
                    self._wait_for_full_batch()
                else:
                    self._changed.wait_for(lambda: self._ready or not self._open)
                batch = self._take_ready()
            return batch

    def finish(self, job: Job, image: EncodedImage) -> None:
        """Cache the embeddings and give them to all waiters."""
        with self._changed:
            self._jobs.pop(job.digest, None)
            if image.embeddings.nbytes <= self._limits.cache_bytes:
                self._cache[job.digest] = replace(image, seconds=0.0)
            metrics.CACHE_BYTES.set(self._cache.currsize)
        metrics.IMAGES.labels("encoded").inc()
        share = replace(image, seconds=image.seconds / len(job.waiters))
        for waiter in job.waiters:
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(share)

    def fail(self, job: Job, error: Exception) -> None:
        """Give ``error`` to all waiters."""
        with self._changed:
            self._jobs.pop(job.digest, None)
        metrics.IMAGES.labels("failed").inc()
        for waiter in job.waiters:
            if waiter.set_running_or_notify_cancel():
                waiter.set_exception(error)

    def close(self) -> None:
        """Refuse new images and fail all jobs that are not in a batch. Idempotent."""
        with self._changed:
            self._open = False
            queued = [
                job for job in self._jobs.values() if job.pixels is None or job in self._ready
            ]
            self._ready.clear()
            self._count_queued(-self._queued)
            self._changed.notify_all()
        for job in queued:
            self.fail(job, EncoderNotReadyError("The service is shutting down."))

    # The methods below expect the caller to hold the lock.

    def _wait_for_full_batch(self) -> None:
        """Wait until the batch is full or its first image has waited for ``max_wait``."""
        deadline = self._ready[0].ready_at + self._limits.max_wait
        while (
            self._open
            and len(self._ready) < self._limits.max_batch
            and (left := deadline - monotonic()) > 0
        ):
            self._changed.wait(left)

    def _take_ready(self) -> list[Job]:
        batch: list[Job] = []
        while self._ready and len(batch) < self._limits.max_batch:
            job = self._ready.popleft()
            if not self._drop_if_abandoned(job):
                self._count_queued(-1)
                batch.append(job)
        return batch

    def _drop_if_abandoned(self, job: Job) -> bool:
        if not all(waiter.cancelled() for waiter in job.waiters):
            return False
        self._jobs.pop(job.digest, None)
        self._count_queued(-1)
        metrics.IMAGES.labels("abandoned").inc()
        return True

    def _count_queued(self, change: int) -> None:
        self._queued += change
        metrics.QUEUE_LENGTH.set(self._queued)
