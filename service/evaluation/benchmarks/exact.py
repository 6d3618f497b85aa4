"""Accuracy by exact match: the answer, in lower case and without ``<unk>``, is the label.

Source: Vision-CAIR/MiniGPT-4, ``eval_scripts/eval_vqa.py``.
"""

from collections.abc import Sequence

from service.evaluation.benchmarks.benchmark import Item, images_of
from service.measurement.intervals import Score, share


def clean(answer: str) -> str:
    """An answer as the published script stores it."""
    return answer.lower().replace("<unk>", "").strip()


def accuracy(items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    """The share of answers that equal their item's label."""
    hits = [
        float(clean(answer) == item.truth.lower())
        for item, answer in zip(items, answers, strict=True)
    ]
    return [share("accuracy", hits, images_of(items))]
