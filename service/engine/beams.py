"""The arithmetic of beam search, as in transformers with ``early_stopping=False``.

A beam ends at the end-of-sequence token or at a stop string, and its score is the sum of its
log-probabilities, those of the end included, divided by ``length ** length_penalty``. Nothing here
calls the engine.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any


@dataclass(frozen=True)
class End:
    """Why a beam has ended: ``reason`` is ``stop`` or ``length``, ``stop`` the client's string."""

    reason: str
    stop: str | None = None


@dataclass(frozen=True)
class Beam:
    """One continuation of the prompt.

    Attributes:
        tokens: The generated tokens, those of its end included.
        score: Sum of the log-probabilities; divided by the length once the beam has ended.
        logprobs: What the engine said about each token.
        end: Why the beam has ended; None while it runs.
    """

    tokens: tuple[int, ...] = ()
    score: float = 0.0
    logprobs: tuple[Any, ...] = ()
    end: End | None = None


FindEnd = Callable[[Sequence[int]], End | None]
"""Whether generated tokens have come to an end with the last of them."""


class BeamSearch:
    """The running and the ended beams of one prompt.

    Attributes:
        running: Beams to continue, best first.
        ended: At most ``width`` beams, best first.
    """

    def __init__(
        self, width: int, max_tokens: int, length_penalty: float, find_end: FindEnd
    ) -> None:
        self.running = [Beam()]
        self.ended: list[Beam] = []
        self._width = width
        self._max_tokens = max_tokens
        self._length_penalty = length_penalty
        self._find_end = find_end

    @property
    def candidates(self) -> int:
        """Likeliest tokens of each beam that a step needs: half of them may be ends."""
        return 2 * self._width

    @property
    def is_over(self) -> bool:
        """Whether no running beam can become better than the ended ones, by an estimate."""
        if not self.running or len(self.ended) < self._width:
            return not self.running
        return self._normalise(self.running[0]) <= self.ended[-1].score

    def advance(self, tokens: Sequence[Mapping[int, Any]]) -> None:
        """Continue the beams by one token.

        Args:
            tokens: For each running beam its likeliest tokens; a value has the attribute
                ``logprob``.
        """
        candidates = [
            Beam(
                (*beam.tokens, token),
                beam.score + likely.logprob,
                (*beam.logprobs, choices),
            )
            for beam, choices in zip(self.running, tokens, strict=True)
            for token, likely in choices.items()
        ]
        candidates.sort(key=attrgetter("score"), reverse=True)
        self.running = []
        for rank, beam in enumerate(candidates[: self.candidates]):
            end = self._find_end(beam.tokens)
            if end is None and len(beam.tokens) >= self._max_tokens:
                end = End("length")
            if end is None:
                self.running.append(beam)
            elif rank < self._width:
                self.ended.append(Beam(beam.tokens, self._normalise(beam), beam.logprobs, end))
        self.running = self.running[: self._width]
        self.ended.sort(key=attrgetter("score"), reverse=True)
        self.ended = self.ended[: self._width]

    def _normalise(self, beam: Beam) -> float:
        return float(beam.score / len(beam.tokens) ** self._length_penalty)
