"""The queue of images for the encoder: admission, deduplication, the next batch, the cache.

The queue only does bookkeeping: it starts no thread and computes nothing. One lock guards all
state, so any thread may call it. Three kinds of threads do:

* a request's thread calls :meth:`ImageQueue.enter`;
* a decoding thread then calls :meth:`ImageQueue.add_pixels` or :meth:`ImageQueue.fail_decoding`;
* the encoding thread calls :meth:`ImageQueue.take_batch`, and :meth:`ImageQueue.finish` or
  :meth:`ImageQueue.fail` for each job.

Background images (lines of batches) never share a batch with others, and only form one while no
other image is ready. They do not take the others' places in the queue.
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

BACKGROUND_SECONDS = 0.1
"""Time that a batch of background images may take, as far as one image allows: an image that
arrives meanwhile waits for it."""


@dataclass(eq=False)
class Job:
    """The encoding of one image, for all requests that wait for it.

    Attributes:
        waiters: One future per request.
        pixels: ``[image_size, image_size, 3]`` uint8; None until the image is decoded.
        ready_at: Monotonic time in seconds at which the pixels were added.
        background: Whether only lines of batches wait for it.
    """

    digest: str
    background: bool = False
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
        self._background_ready: deque[Job] = deque()
        self._cache: LRUCache[str, EncodedImage] = LRUCache(
            max(limits.cache_bytes, 1), getsizeof=lambda image: image.embeddings.nbytes
        )
        self._queued = 0
        self._background_queued = 0
        self._open = True
        self.seconds_per_image = 0.0

    @property
    def seconds_to_empty(self) -> float:
        """Estimated seconds to encode all queued images, at the speed of the last batch.

        Background images do not count, because no other image waits for them.
        """
        return self._queued * self.seconds_per_image

    def enter(
        self, digest: str, *, background: bool = False
    ) -> "tuple[Future[EncodedImage], Job | None]":
        """Ask for the embeddings of an image.

        Args:
            background: Whether the image waits for all images that are not.

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
                if job.background and not background:
                    self._promote(job)
                return waiter, None
            if (self._background_queued if background else self._queued) >= self._limits.max_queue:
                metrics.IMAGES.labels("rejected").inc()
                raise EncoderOverloadedError("Too many images are waiting; try again later.")
            job = self._jobs[digest] = Job(digest, background, [waiter])
            self._count_queued(job, +1)
            return waiter, job

    def find_cached(self, digest: str) -> EncodedImage | None:
        """The cached embeddings of an image."""
        with self._changed:
            return self._cache.get(digest)

    def add_pixels(self, job: Job, pixels: Tensor) -> None:
        """Add the decoded image, so that the job can join a batch."""
        with self._changed:
            job.pixels, job.ready_at = pixels, monotonic()
            (self._background_ready if job.background else self._ready).append(job)
            self._changed.notify_all()

    def fail_decoding(self, job: Job, error: Exception) -> None:
        """Remove a job whose image cannot be decoded, and give ``error`` to its waiters."""
        with self._changed:
            self._count_queued(job, -1)
        self.fail(job, error)

    def drop_if_abandoned(self, job: Job) -> bool:
        """Drop a queued job if all its waiters are cancelled; return whether it was dropped."""
        with self._changed:
            return self._drop_if_abandoned(job)

    def take_batch(self, *, wait: bool = True) -> list[Job]:
        """Take up to ``max_batch`` decoded jobs.

        Args:
            wait: Wait for jobs; then the list is empty only after :meth:`close`. Otherwise it is
                also empty if there are none, or if they may still wait for more.
        """
        with self._changed:
            while self._open and self._wait_for_jobs(wait=wait):
                if batch := (
                    self._take(self._ready, self._limits.max_batch)
                    or self._take(self._background_ready, self._background_batch())
                ):
                    return batch
            return []

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
            ready = {*self._ready, *self._background_ready}
            queued = [job for job in self._jobs.values() if job.pixels is None or job in ready]
            self._ready.clear()
            self._background_ready.clear()
            self._queued = self._background_queued = 0
            metrics.QUEUE_LENGTH.set(0)
            self._changed.notify_all()
        for job in queued:
            self.fail(job, EncoderNotReadyError("The service is shutting down."))

    # The methods below expect the caller to hold the lock.

    def _wait_for_jobs(self, *, wait: bool) -> bool:
        """Wait until a batch may begin; returns False if ``wait`` is false and it may not yet."""
        if self._ready:
            return self._wait_for_full_batch(wait=wait)
        if self._background_ready or not wait:
            return bool(self._background_ready)
        self._changed.wait_for(lambda: self._ready or self._background_ready or not self._open)
        return True

    def _wait_for_full_batch(self, *, wait: bool) -> bool:
        """Wait until the batch is full or its first image has waited for ``max_wait``.

        Returns False if ``wait`` is false and neither is so yet.
        """
        deadline = self._ready[0].ready_at + self._limits.max_wait
        while (
            self._open
            and len(self._ready) < self._limits.max_batch
            and (left := deadline - monotonic()) > 0
        ):
            if not wait:
                return False
            self._changed.wait(left)
        return True

    def _take(self, ready: deque[Job], most: int) -> list[Job]:
        batch: list[Job] = []
        while ready and len(batch) < most:
            job = ready.popleft()
            if not self._drop_if_abandoned(job):
                self._count_queued(job, -1)
                batch.append(job)
        return batch

    def _background_batch(self) -> int:
        """Return the size of a background batch; 1 until the encoder's speed is known."""
        if self.seconds_per_image == 0:
            return 1
        fitting = int(BACKGROUND_SECONDS / self.seconds_per_image)
        return min(max(1, fitting), self._limits.max_batch)

    def _promote(self, job: Job) -> None:
        """Let a background job go first, because another request waits for it now."""
        queued = job.pixels is None or job in self._background_ready
        if queued:
            self._count_queued(job, -1)
        job.background = False
        if queued:
            self._count_queued(job, +1)
        if job in self._background_ready:
            self._background_ready.remove(job)
            self._ready.append(job)
            self._changed.notify_all()

    def _drop_if_abandoned(self, job: Job) -> bool:
        if not all(waiter.cancelled() for waiter in job.waiters):
            return False
        self._jobs.pop(job.digest, None)
        self._count_queued(job, -1)
        metrics.IMAGES.labels("abandoned").inc()
        return True

    def _count_queued(self, job: Job, change: int) -> None:
        if job.background:
            self._background_queued += change
        else:
            self._queued += change
        metrics.QUEUE_LENGTH.set(self._queued + self._background_queued)
