"""BLEU and CIDEr of captions against several references each.

Sources: Papineni et al. 2002, *BLEU*; Vedantam et al. 2015, *CIDEr*; tylin/coco-caption,
``bleu_scorer.py`` and ``cider_scorer.py``. CIDEr is the variant that COCO's server calls CIDEr-D
without stemming: clipped counts and a Gaussian penalty on the difference of lengths, with sigma 6;
the length is counted in pairs of words. Both programs' constants are kept.
"""

from collections import Counter
from collections.abc import Sequence
from math import exp, log, sqrt

import numpy as np

from service.measurement.intervals import Sums

Words = Sequence[str]
Grams = Counter[tuple[str, ...]]

_LONGEST = 4
_SMALL, _TINY = 1e-9, 1e-15
_SIGMA = 6.0


def count_grams(words: Words) -> Grams:
    """How often each sequence of one to four words occurs."""
    return Counter(
        tuple(words[at : at + length])
        for length in range(1, _LONGEST + 1)
        for at in range(len(words) - length + 1)
    )


def bleu_row(words: Words, references: Sequence[Words]) -> list[float]:
    """What one caption adds to BLEU's sums.

    Returns:
        Correct sequences of each length, sequences of each length, words, and words of the
        reference whose length is closest.
    """
    most: Grams = Counter()
    for reference in references:
        most |= count_grams(reference)
    correct = [0.0] * _LONGEST
    for gram, times in count_grams(words).items():
        correct[len(gram) - 1] += min(times, most[gram])
    guessed = [float(max(len(words) - length, 0)) for length in range(_LONGEST)]
    closest = min((abs(len(one) - len(words)), len(one)) for one in references)[1]
    return [*correct, *guessed, float(len(words)), float(closest)]


def bleu(sums: Sums, length: int) -> Sums:
    """BLEU up to sequences of ``length`` words, in percent, from sums of :func:`bleu_row`."""
    precision = (sums[..., :length] + _TINY) / (sums[..., _LONGEST : _LONGEST + length] + _SMALL)
    ratio = (sums[..., 2 * _LONGEST] + _TINY) / (sums[..., 2 * _LONGEST + 1] + _SMALL)
    penalty = np.exp(np.minimum(1 - 1 / ratio, 0.0))
    result: Sums = 100 * penalty * precision.prod(axis=-1) ** (1 / length)
    return result


def cider(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """CIDEr of each caption, in percent.

    How rare a sequence is, the references of the whole set say.
    """
    seen = [[count_grams(one) for one in several] for several in references]
    images: Grams = Counter()
    for several in seen:
        images.update(set().union(*several))
    known = log(len(captions)) if captions else 0.0
    result: list[float] = []
    for words, several in zip(captions, seen, strict=True):
        vector = _Vector(count_grams(words), images, known)
        alike = [vector.similarity(_Vector(one, images, known)) for one in several]
        result.append(1000 * sum(alike) / len(alike) / _LONGEST)
    return result


class _Vector:
    """Weights of a caption's sequences: count times rarity, and their norm for each length."""

    def __init__(self, grams: Grams, images: Grams, known: float) -> None:
        self.weights = {
            gram: times * (known - log(max(1.0, images[gram]))) for gram, times in grams.items()
        }
        self.pairs = sum(times for gram, times in grams.items() if len(gram) == 2)
        squares = [0.0] * _LONGEST
        for gram, weight in self.weights.items():
            squares[len(gram) - 1] += weight * weight
        self.norms = [sqrt(square) for square in squares]

    def similarity(self, reference: "_Vector") -> float:
        """The sum over lengths, between 0 and 4."""
        common = [0.0] * _LONGEST
        for gram, weight in self.weights.items():
            other = reference.weights.get(gram, 0.0)
            common[len(gram) - 1] += min(weight, other) * other
        penalty = exp(-((self.pairs - reference.pairs) ** 2) / (2 * _SIGMA**2))
        return penalty * sum(
            value / (mine * theirs) if mine and theirs else value
            for value, mine, theirs in zip(common, self.norms, reference.norms, strict=True)
        )
