"""One batch on its way through the encoder."""

from typing import Protocol

from torch import Tensor


class Encoding(Protocol):
    """A batch that has begun. The same thread begins it and calls all methods."""

    @property
    def done(self) -> bool:
        """Whether :meth:`get` returns at once."""

    def wait(self) -> None:
        """Wait until the device can begin the next batch; raises what the device reports."""

    def get(self) -> Tensor:
        """Wait for the result.

        Returns:
            ``[images, visual_tokens, hidden_size]``, on the CPU.

        Raises:
            Exception: the device failed; also if :meth:`wait` has raised.
        """


class FinishedEncoding:
    """A batch that was encoded when it began, as on a CPU."""

    done = True

    def __init__(self, embeddings: Tensor) -> None:
        self._embeddings = embeddings

    def wait(self) -> None:
        """Return at once."""

    def get(self) -> Tensor:
        """Return the result."""
        return self._embeddings
