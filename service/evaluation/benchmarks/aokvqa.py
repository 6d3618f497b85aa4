"""A-OKVQA: questions that need world knowledge; four choices, or ten people's direct answers.

Sources: Schwenk et al. 2022, *A-OKVQA*; allenai/aokvqa, ``aokvqa_v1p0_val.json`` (format) and
``evaluation/eval_predictions.py`` (scores); Vision-CAIR/MiniGPT-4, ``aok_vqa_datasets.py``
(prompt). The direct score is ``min(equal answers / 3, 1)`` and leaves out questions marked as
difficult to answer directly. The papers print no prompt with the choices: the wording here is ours.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import BaseModel, Field

from service.evaluation.benchmarks.benchmark import (
    VQA_PROMPTS,
    Benchmark,
    Item,
    coco_names,
    images_of,
)
from service.evaluation.benchmarks.choices import ask_to_choose, choose
from service.evaluation.benchmarks.exact import clean
from service.measurement.files import find_file, read_json
from service.measurement.intervals import Score, share


class _Entry(BaseModel):
    question_id: str
    image_id: int
    question: str
    choices: list[str] = Field(min_length=2)
    correct_choice_idx: int = Field(ge=0)
    direct_answers: list[str]
    difficult_direct_answer: bool


def _read(direct: bool, folder: Path, split: str) -> list[Item]:
    entries = read_json(find_file(folder, f"aokvqa_v1p0_{split}.json"), list[_Entry])
    if direct:
        return [
            Item(one.question_id, coco_names(one.image_id), one.question, one.direct_answers)
            for one in entries
            if not one.difficult_direct_answer
        ]
    return [
        Item(
            one.question_id,
            coco_names(one.image_id),
            ask_to_choose(one.question, one.choices),
            (one.choices, one.correct_choice_idx),
        )
        for one in entries
    ]


def score_choices(items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    """Return the share of right choices; a truth is the choices and the right index."""
    hits = [
        float(choose(clean(answer), item.truth[0]) == item.truth[1])
        for item, answer in zip(items, answers, strict=True)
    ]
    return [share("accuracy", hits, images_of(items))]


def _score_direct(items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    values = [
        min(item.truth.count(clean(answer)) / 3, 1.0)
        for item, answer in zip(items, answers, strict=True)
    ]
    return [share("accuracy", values, images_of(items))]


MULTIPLE_CHOICE = Benchmark(
    "A-OKVQA, multiple choice",
    ("val", "train"),
    partial(_read, False),
    score_choices,
    VQA_PROMPTS,
    note="An answer that is not a choice is matched by its text; the published program compares "
    "GloVe embeddings.",
)
DIRECT = Benchmark(
    "A-OKVQA, direct answers", ("val", "train"), partial(_read, True), _score_direct, VQA_PROMPTS
)
