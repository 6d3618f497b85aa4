"""The limits of batching, queueing, caching and decoding."""

import os
from dataclasses import dataclass

from service.settings import MEBIBYTE, Settings


@dataclass(frozen=True)
class EncodingLimits:
    """The limits.

    Attributes:
        max_batch: Maximum number of images in one batch.
        max_wait: Seconds that images which arrived during an encoding may wait for more images to
            join their batch. An idle encoder starts at once.
        max_queue: Maximum number of images that are admitted but not yet in a batch.
        cache_bytes: Maximum size of the cached embeddings, in bytes.
        decode_threads: Images that are decoded at once.
    """

    max_batch: int = 16
    max_wait: float = 0.0
    max_queue: int = 256
    cache_bytes: int = 256 << 20
    decode_threads: int = 2

    @classmethod
    def from_settings(cls, settings: Settings, processes: int = 1) -> "EncodingLimits":
        """Read the limits of one of ``processes`` API processes from the settings."""
        return cls(
            max_batch=settings.encoder_max_batch,
            max_wait=settings.encoder_max_wait_ms / 1000,
            max_queue=settings.encoder_queue,
            cache_bytes=settings.embedding_cache_mb * MEBIBYTE,
            decode_threads=settings.decode_threads or choose_decode_threads(processes),
        )


def choose_decode_threads(processes: int) -> int:
    """Return a process's share of a quarter of the cores, at least 2.

    A photograph takes 10 ms to decode, so that a quarter of a GPU machine's cores feeds its
    encoder.
    """
    return max(2, len(os.sched_getaffinity(0)) // (4 * processes))
