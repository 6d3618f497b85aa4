"""Images on their way to the encoder: admission, deduplication, the batch to take next, the cache.

Only bookkeeping: no thread is started and nothing is computed here. All state is behind one lock.
"""

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic

from cachetools import LRUCache
from torch import Tensor

from service.errors import EncoderNotReadyError, EncoderOverloadedError
from service.settings import MEBIBYTE, Settings
from service.vision import metrics
from service.vision.encoded_image import EncodedImage


@dataclass(frozen=True)
class EncodingLimits:
    """How much is batched, queued and kept.

    Attributes:
        max_batch: Images in one batch at most.
        max_wait: Seconds that images which arrived while the encoder was busy may wait for more to
            join their batch. An idle encoder starts at once.
        max_queue: Images admitted and not yet in a batch at most.
        cache_bytes: Size of the kept embeddings.
        decode_threads: Images decoded at the same time.
    """

    max_batch: int = 16
    max_wait: float = 0.0
    max_queue: int = 256
    cache_bytes: int = 256 << 20
    decode_threads: int = 2

    @classmethod
    def from_settings(cls, settings: Settings) -> "EncodingLimits":
        """The limits that the operator's settings describe."""
        return cls(
            max_batch=settings.encoder_max_batch,
            max_wait=settings.encoder_max_wait_ms / 1000,
            max_queue=settings.encoder_queue,
            cache_bytes=settings.embedding_cache_mb * MEBIBYTE,
            decode_threads=settings.decode_threads,
        )


@dataclass(eq=False)
class Job:
    """One image being encoded for everybody who waits for it."""

    digest: str
    waiters: list["Future[EncodedImage]"] = field(default_factory=list)
    pixels: Tensor | None = None
    ready_at: float = 0.0


class ImageQueue:
    """See the module's text."""

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

    def enter(self, digest: str) -> "tuple[Future[EncodedImage], Job | None]":
        """Ask for an image's embeddings.

        Returns:
            A future, and the job if the caller must now provide the pixels.

        Raises:
            EncoderNotReadyError: the queue is closed.
            EncoderOverloadedError: it is full.
        """
        waiter: Future[EncodedImage] = Future()
        with self._changed:
            if not self._open:
                raise EncoderNotReadyError("The vision encoder is not ready.")
            if (kept := self._cache.get(digest)) is not None:
                metrics.IMAGES.labels("cached").inc()
                waiter.set_result(kept)
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

    @property
    def seconds_to_empty(self) -> float:
        """How long what is queued now will take, by the last batch's speed."""
        return self._queued * self.seconds_per_image

    def pixels_ready(self, job: Job, pixels: Tensor) -> None:
        """The job can join a batch."""
        with self._changed:
            job.pixels, job.ready_at = pixels, monotonic()
            self._ready.append(job)
            self._changed.notify_all()

    def pixels_failed(self, job: Job, error: Exception) -> None:
        """There are no pixels: everybody who waits gets ``error``."""
        with self._changed:
            self._count_queued(-1)
        self.fail(job, error)

    def drop_if_abandoned(self, job: Job) -> bool:
        """Forget a queued job that nobody waits for any more; says whether it did."""
        with self._changed:
            return self._drop_if_abandoned(job)

    def take_batch(self) -> list[Job]:
        """Wait for ready jobs and take up to ``max_batch``; empty only after :meth:`close`."""
        with self._changed:
            batch: list[Job] = []
            while self._open and not batch:
                if self._ready:
                    self._wait_to_fill()
                else:
                    self._changed.wait_for(lambda: self._ready or not self._open)
                batch = self._take_ready()
            return batch

    def finish(self, job: Job, image: EncodedImage) -> None:
        """Keep the embeddings and hand them to everybody who waits."""
        with self._changed:
            self._jobs.pop(job.digest, None)
            if image.embeddings.nbytes <= self._limits.cache_bytes:
                self._cache[job.digest] = image
            metrics.CACHE_BYTES.set(self._cache.currsize)
        metrics.IMAGES.labels("encoded").inc()
        for waiter in job.waiters:
            if waiter.set_running_or_notify_cancel():
                waiter.set_result(image)

    def fail(self, job: Job, error: Exception) -> None:
        """Hand ``error`` to everybody who waits."""
        with self._changed:
            self._jobs.pop(job.digest, None)
        metrics.IMAGES.labels("failed").inc()
        for waiter in job.waiters:
            if waiter.set_running_or_notify_cancel():
                waiter.set_exception(error)

    def close(self) -> None:
        """Refuse new images and fail those that are not in a batch. Idempotent."""
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

    def _wait_to_fill(self) -> None:
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
