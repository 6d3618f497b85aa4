"""POPE: is an object in the image, yes or no, in three settings.

Sources: Li et al. 2023, *Evaluating Object Hallucination in Large Vision-Language Models*, section
5; RUCAIBox/POPE, ``output/coco/coco_pope_*.json`` (format) and ``evaluate.py`` (clean-up and
scores). The question is asked as it stands. An answer is *no* if its first sentence has the word
No, no or not; every other answer is *yes*.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel

from service.evaluation.benchmarks.benchmark import Benchmark, Item, images_of
from service.measurement.files import find_file, read_json_lines
from service.measurement.intervals import Score, Sums, score, share

SETTINGS = ("random", "popular", "adversarial")


class _Line(BaseModel):
    question_id: int
    image: str
    text: str
    label: Literal["yes", "no"]


def _read(folder: Path, split: str) -> list[Item]:
    items: list[Item] = []
    for setting in SETTINGS if split == "all" else (split,):
        file = find_file(folder, f"*pope*{setting}.json", f"*pope*{setting}.jsonl")
        items += [
            Item(f"{setting}/{line.question_id}", (line.image,), line.text, line.label, setting)
            for line in read_json_lines(file, _Line)
        ]
    return items


def says_yes(answer: str) -> bool:
    """Whether the published scorer takes the answer for a yes."""
    words = answer.split(".")[0].replace(",", "").split(" ")
    return not {"No", "not", "no"} & set(words)


def _score(items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    scores: list[Score] = []
    for setting in dict.fromkeys(item.part for item in items):
        pairs = [pair for pair in zip(items, answers, strict=True) if pair[0].part == setting]
        groups = images_of([item for item, _ in pairs])
        said = [says_yes(answer) for _, answer in pairs]
        true = [item.truth == "yes" for item, _ in pairs]
        right = [float(a == b) for a, b in zip(said, true, strict=True)]
        rows = [(float(a and b), float(a), float(b)) for a, b in zip(said, true, strict=True)]
        scores += [
            share(f"{setting}: accuracy", right, groups),
            score(f"{setting}: precision", rows, groups, lambda sums: _percent(sums, 0, 1)),
            score(f"{setting}: recall", rows, groups, lambda sums: _percent(sums, 0, 2)),
            score(f"{setting}: F1", rows, groups, _f1),
            share(f"{setting}: yes ratio", [float(yes) for yes in said], groups),
        ]
    return scores


def _percent(sums: Sums, part: int, whole: int) -> Sums:
    return 100 * sums[..., part] / np.maximum(sums[..., whole], 1)


def _f1(sums: Sums) -> Sums:
    """Columns: true positives, said yes, is yes."""
    return 200 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


BENCHMARK = Benchmark("POPE", ("all", *SETTINGS), _read, _score, {"pope": "{}"}, longest=64)
