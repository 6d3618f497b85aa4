"""What a benchmark is: items from published files, prompts, and scores of the answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.measurement.intervals import Score

VQA_PROMPTS = {
    "minigpt-v2": "[vqa] Based on the image, respond to this question with a short answer: {}",
    "plain": "Based on the image, respond to this question with a short answer: {}",
}
"""The prompt of MiniGPT-v2's ``vqa_datasets.py``, and the same without its task identifier."""

SHORT_ANSWER = 20
"""Tokens of an answer in MiniGPT-v2's ``minigptv2_benchmark_evaluation.yaml``."""


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        id: Unique in the benchmark; the same on every run.
        images: Published names of its one image; the first file that exists is used.
        question: What takes the place of ``{}`` in the prompt.
        truth: What the score needs: a label, the accepted answers, a box, ...
        part: The setting or task that the item belongs to, if the benchmark has several.
    """

    id: str
    images: tuple[str, ...]
    question: str
    truth: Any
    part: str = ""


Scorer = Callable[[Sequence[Item], Sequence[str]], list[Score]]
"""From items and their answers, in the same order, to scores."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as ``--benchmark`` knows it.

    Attributes:
        title: Its name in reports.
        splits: What ``--split`` accepts; the first is the default.
        read: From the folder of its files and the split to its items.
        score: From items and answers to scores.
        prompts: By name; the first is the default.
        longest: Tokens of the longest answer.
        note: How the figures differ from the published scorer's, for the report.
    """

    title: str
    splits: tuple[str, ...]
    read: Callable[[Path, str], list[Item]]
    score: Scorer
    prompts: Mapping[str, str]
    longest: int = SHORT_ANSWER
    note: str = ""


def images_of(items: Sequence[Item]) -> list[str]:
    """The image of each item: questions about one image are not independent."""
    return [item.images[0] for item in items]


def coco_names(image_id: int, *folders: str) -> tuple[str, ...]:
    """The file names of a COCO image: as of 2014 in each folder (``val2014``), and as of 2017."""
    return (*(f"COCO_{folder}_{image_id:012}.jpg" for folder in folders), f"{image_id:012}.jpg")
