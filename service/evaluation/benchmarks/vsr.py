"""VSR, zero-shot split: is a statement about a spatial relation true or false.

Sources: Liu et al. 2023, *Visual Spatial Reasoning*; the data set ``cambridgeltl/vsr_zeroshot``
(format); Vision-CAIR/MiniGPT-4, ``vqa_datasets.py`` and ``eval_vqa.py`` (prompt and exact match).
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from service.evaluation.benchmarks.benchmark import Benchmark, Item
from service.evaluation.benchmarks.exact import accuracy
from service.measurement.files import find_file, read_json_lines


class _Line(BaseModel):
    image: str
    caption: str
    label: Literal[0, 1]


def _read(folder: Path, split: str) -> list[Item]:
    lines = read_json_lines(find_file(folder, f"{split}.jsonl", f"{split}.json"), _Line)
    return [
        Item(str(number), (line.image,), line.caption, "true" if line.label else "false")
        for number, line in enumerate(lines)
    ]


BENCHMARK = Benchmark(
    "VSR (zero-shot)",
    ("test", "dev", "train"),
    _read,
    accuracy,
    {
        "minigpt-v2": "[vqa] Based on the image, is this statement true or false? {}",
        "plain": "Based on the image, is this statement true or false? {}",
    },
)
