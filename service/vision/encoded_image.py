"""The result of encoding: an image's identity and its embeddings."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """One encoded image.

    Attributes:
        digest: Hash (hex) of the image's content; equal digests mean equal embeddings. It is the
            key of every cache, so the service computes it and never takes it from a client.
        embeddings: ``[visual_tokens, hidden_size]``, on the CPU.
        seconds: Share of its batch's encoding time, divided by the requests that waited for it; 0
            from a cache.
    """

    digest: str
    embeddings: Tensor
    seconds: float = 0.0
