"""Hateful Memes: is an image with its text hateful, yes or no.

Sources: Kiela et al. 2020, *The Hateful Memes Challenge*; the data set's ``dev.jsonl`` (format);
Vision-CAIR/MiniGPT-4, ``vqa_datasets.py`` and ``eval_vqa.py`` (prompt, its spelling included, and
accuracy). The published script leaves an answer that is neither yes nor no as text: it counts as
wrong.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from service.evaluation.benchmarks.benchmark import Benchmark, Item
from service.evaluation.benchmarks.exact import accuracy
from service.measurement.files import find_file, read_json_lines


class _Line(BaseModel):
    id: int | str
    img: str
    text: str
    label: Literal[0, 1]


def _read(folder: Path, split: str) -> list[Item]:
    return [
        Item(
            str(line.id),
            (line.img, Path(line.img).name),
            line.text,
            "yes" if line.label else "no",
        )
        for line in read_json_lines(find_file(folder, f"{split}.jsonl"), _Line)
    ]


BENCHMARK = Benchmark(
    "Hateful Memes",
    ("dev", "dev_seen", "dev_unseen", "test_seen", "test_unseen"),
    _read,
    accuracy,
    {
        "minigpt-v2": "This is an image writting '{}'. Is this image hateful? "
        "Answer yes or no. Answer:"
    },
)
