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
    """

    digest: str
    embeddings: Tensor
