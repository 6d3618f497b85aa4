"""VizWiz: questions of blind people about their own photographs.

Sources: Gurari et al. 2018, *VizWiz Grand Challenge*; the data set's ``val.json`` (format);
Vision-CAIR/MiniGPT-4, ``vqa_datasets.py`` and ``eval_vqa.py`` (prompt, and its own accuracy). Two
figures are given. *accuracy* is VQA accuracy with the official normalisation. *accuracy,
MiniGPT-v2's count* is ``min(equal answers / 3, 1)`` over all ten people, without normalisation:
compare it with its paper.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from service.evaluation.benchmarks.benchmark import Benchmark, Item, images_of
from service.evaluation.benchmarks.exact import clean
from service.evaluation.benchmarks.vqa_normalisation import vqa_accuracy
from service.measurement.files import find_file, read_json
from service.measurement.intervals import Score, share


class _Said(BaseModel):
    answer: str


class _Entry(BaseModel):
    image: str
    question: str
    answers: list[_Said]


def _read(folder: Path, split: str) -> list[Item]:
    entries = read_json(find_file(folder, f"{split}.json"), list[_Entry])
    return [
        Item(str(number), (entry.image,), entry.question, [one.answer for one in entry.answers])
        for number, entry in enumerate(entries)
    ]


def simple_accuracy(answer: str, people: Sequence[str]) -> float:
    """Between 0 and 1, as MiniGPT-v2's script counts."""
    return min(sum(person.lower() == answer.lower() for person in people) / 3, 1.0)


def _score(items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    pairs = list(zip(items, answers, strict=True))
    official = [vqa_accuracy(clean(answer), item.truth, fold_case=True) for item, answer in pairs]
    simple = [simple_accuracy(answer, item.truth) for item, answer in pairs]
    groups = images_of(items)
    return [
        share("accuracy", official, groups),
        share("accuracy, MiniGPT-v2's count", simple, groups),
    ]


_QUESTION = (
    "The question is '{}' Based on the image, answer the question with a single word or phrase. "
    "and reply 'unanswerable' when the provided information is insufficient"
)

BENCHMARK = Benchmark(
    "VizWiz",
    ("val", "train"),
    _read,
    _score,
    {"minigpt-v2": f"[vqa] {_QUESTION}", "plain": _QUESTION},
)
