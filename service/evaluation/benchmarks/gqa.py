"""GQA: compositional questions about real scenes, one short answer.

Sources: Hudson and Manning 2019, *GQA*; the data set's ``testdev_balanced_questions.json``
(format); Vision-CAIR/MiniGPT-4, ``eval_scripts/eval_vqa.py`` (prompt and exact match). The
MiniGPT-4 repository's own list with ``image``, ``question`` and ``answer`` is accepted as well.
"""

from pathlib import Path

from pydantic import BaseModel, Field

from service.evaluation.benchmarks.benchmark import VQA_PROMPTS, Benchmark, Item
from service.evaluation.benchmarks.exact import accuracy
from service.measurement.files import find_file, read_json


class _Question(BaseModel):
    image_id: str = Field(alias="imageId")
    question: str
    answer: str


class _Listed(BaseModel):
    image: str
    question: str
    answer: str


def _read(folder: Path, split: str) -> list[Item]:
    file = find_file(folder, f"{split}_questions.json")
    with file.open("rb") as start:
        listed = start.read(64).lstrip().startswith(b"[")
    if listed:
        lines = read_json(file, list[_Listed])
        return [
            Item(str(number), (line.image,), line.question, line.answer)
            for number, line in enumerate(lines)
        ]
    questions = read_json(file, dict[str, _Question])
    return [
        Item(name, (f"{one.image_id}.jpg",), one.question, one.answer)
        for name, one in questions.items()
    ]


BENCHMARK = Benchmark(
    "GQA",
    ("testdev_balanced", "val_balanced", "testdev_all", "val_all"),
    _read,
    accuracy,
    VQA_PROMPTS,
)
