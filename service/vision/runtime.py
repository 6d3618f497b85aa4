"""Encoding for all requests: decoding threads feed a queue, and one thread encodes its batches.

Requests only await futures, so torch never blocks the event loop. An idle encoder starts at once;
images that arrive meanwhile form the next batch.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

import torch

from service.errors import EncoderNotReadyError
from service.model_folder.vision_config import VisionConfig
from service.vision import metrics
from service.vision.encoded_image import EncodedImage
from service.vision.encoder import Encoder
from service.vision.encoding_thread import EncodingThread
from service.vision.image_queue import ImageQueue, Job
from service.vision.interface import LoadPixels
from service.vision.limits import EncodingLimits


class EncodingRuntime:
    """The queue, the decoding threads and the encoding thread of one encoder.

    Call :meth:`startup` first and :meth:`shutdown` last.
    """

    def __init__(self, encoder: Encoder, limits: EncodingLimits) -> None:
        self._encoder = encoder
        self._limits = limits
        self._queue = ImageQueue(limits)
        self._encoding = EncodingThread(encoder, self._queue)
        self._decoding: ThreadPoolExecutor | None = None
        self._background_decoding: ThreadPoolExecutor | None = None

    @property
    def config(self) -> VisionConfig:
        """Sizes of the encoder's input and output."""
        return self._encoder.config

    @property
    def ready(self) -> bool:
        """Whether images can be encoded now."""
        return self._decoding is not None and not self.failed

    @property
    def failed(self) -> bool:
        """Whether the encoder no longer works. Only a new process helps."""
        return self._encoding.failed

    @property
    def silence(self) -> float:
        """Seconds since the current batch began; 0 between batches."""
        started = self._encoding.batch_started
        return 0.0 if started is None else monotonic() - started

    @property
    def seconds_to_empty(self) -> float:
        """Estimated seconds to encode all queued images, at the speed of the last batch."""
        return self._queue.seconds_to_empty

    def startup(self) -> None:
        """Load and warm up the encoder, then accept images; raise the encoder's exception."""
        self._encoding.startup()
        # The encoding thread keeps the threads that it has set. All others share this number.
        torch.set_num_threads(1)
        # The images of batches have a thread of their own, so that no other image waits for them.
        self._background_decoding = ThreadPoolExecutor(1, "background-decoding")
        self._decoding = ThreadPoolExecutor(self._limits.decode_threads, "image-decoding")

    def shutdown(self) -> None:
        """Refuse new images, fail the queued ones, and finish the current batch. Idempotent."""
        self._queue.close()
        if self._background_decoding is not None:
            self._background_decoding.shutdown(cancel_futures=True)
        if self._decoding is not None:
            self._decoding.shutdown(cancel_futures=True)
            self._decoding = None
            self._encoding.join()

    async def encode(
        self, digest: str, load_pixels: LoadPixels, *, background: bool = False
    ) -> EncodedImage:
        """See :meth:`service.vision.interface.Runtime.encode`."""
        return await asyncio.wrap_future(self.submit(digest, load_pixels, background=background))

    async def find_cached(self, digest: str) -> EncodedImage | None:
        """The cached embeddings of an image."""
        return self._queue.find_cached(digest)

    def submit(
        self, digest: str, load_pixels: LoadPixels, *, background: bool = False
    ) -> "Future[EncodedImage]":
        """Do the same as :meth:`encode` from any thread; cancel the future to stop waiting."""
        decoding = self._get_decoding_threads(background=background)
        waiter, job = self._queue.enter(digest, background=background)
        if job is not None:
            decoding.submit(self._decode, job, load_pixels)
        return waiter

    async def on_decoding_thread(self, work: Callable[[], object]) -> None:
        """Run ``work``, which decodes an image without encoding it, on a decoding thread.

        Raises:
            EncoderNotReadyError: before any work.
            Exception: from ``work``.
        """
        await asyncio.wrap_future(self._get_decoding_threads().submit(work))

    def _get_decoding_threads(self, *, background: bool = False) -> ThreadPoolExecutor:
        threads = self._background_decoding if background else self._decoding
        if threads is None:
            raise EncoderNotReadyError("The vision encoder is not ready.")
        return threads

    def _decode(self, job: Job, load_pixels: LoadPixels) -> None:
        """Add the pixels to a job, or fail the job. Runs on a decoding thread."""
        if self._queue.drop_if_abandoned(job):
            return
        try:
            with metrics.PREPARE_SECONDS.time():
                pixels = load_pixels()
        except Exception as error:
            self._queue.fail_decoding(job, error)
        else:
            self._queue.add_pixels(job, pixels)
