"""What crosses from the vision side to the engine: an image's identity and its embeddings."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """One image, encoded.

    Attributes:
        digest: Identity of the image's content (hex); equal digests mean equal embeddings. It keys
            every cache, so it must never come from a client.
        embeddings: ``[visual_tokens, hidden_size]``, on the CPU.
    """

    digest: str
    embeddings: Tensor
