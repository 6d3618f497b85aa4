"""RefCOCO, RefCOCO+ and RefCOCOg: where is the object that an expression refers to.

Sources: Kazemzadeh et al. 2014; Yu et al. 2016; Mao et al. 2016; Vision-CAIR/MiniGPT-4,
``eval_scripts/eval_data/*.json`` (format), ``coco_caption.py`` (prompt), ``eval_ref.py`` and
``eval_utils.py`` (clean-up and overlap). An answer is ``{<x1><y1><x2><y2>}`` on a grid of 0 to 100.
A hit overlaps the true box by an IoU of at least 0.5; pixels at both borders count.

Differences: each question is scored by itself. The published script collects answers by ``img_id``
and compares all of them with the last box of that id. In the published files an id names one
object, so the figures agree there; in files whose ids name images, its merged answers would be
compared with one box. The script asks again, up to 20 times, where an answer has no box; decoding
is greedy, so here such an answer counts as wrong at once, and its share is given.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import BaseModel, Field

from service.evaluation.benchmarks.benchmark import Benchmark, Item, images_of
from service.measurement.files import find_file, read_json
from service.measurement.intervals import Score, share

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

_GRID = 100.0
_BOX = re.compile(r"\{<(\d{1,3})><(\d{1,3})><(\d{1,3})><(\d{1,3})>\}")
_NAME = len("COCO_train2014_000000581282")


class _Entry(BaseModel):
    img_id: str
    sents: str
    bbox: tuple[float, float, float, float]
    height: int = Field(gt=0)
    width: int = Field(gt=0)


def _read(names: Sequence[str], folder: Path, split: str) -> list[Item]:
    entries = read_json(
        find_file(folder, *(f"{name}_{split}.json" for name in names)), list[_Entry]
    )
    return [
        Item(
            f"{number}/{entry.img_id}",
            _image_names(entry.img_id[:_NAME]),
            entry.sents,
            (_corners(entry.bbox), entry.width, entry.height),
        )
        for number, entry in enumerate(entries)
    ]


def _image_names(name: str) -> tuple[str, ...]:
    return f"{name}.jpg", f"{name.rsplit('_', 1)[-1]}.jpg"


def _corners(box: Box) -> Box:
    left, top, width, height = box
    return left, top, left + width, top + height


def parse_box(answer: str, width: int, height: int) -> Box | None:
    """Return the box at the start of an answer, in pixels; None without exactly one box."""
    text = answer.replace("<unk>", "").replace(" ", "").strip()
    found = _BOX.match(text)
    if found is None or re.search(r"\d", text[found.end() :]):
        return None
    left, top, right, bottom = (int(number) / _GRID for number in found.groups())
    return left * width, top * height, right * width, bottom * height


def overlap(one: Box, other: Box) -> float:
    """Intersection over union; a box includes its last pixel."""
    across = min(one[2], other[2]) - max(one[0], other[0]) + 1
    down = min(one[3], other[3]) - max(one[1], other[1]) + 1
    common = max(across, 0.0) * max(down, 0.0)
    union = _area(one) + _area(other) - common
    return common / union if union else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def _score(items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    hits: list[float] = []
    without: list[float] = []
    for item, answer in zip(items, answers, strict=True):
        box, width, height = item.truth
        given = parse_box(answer, width, height)
        without.append(float(given is None))
        hits.append(float(given is not None and overlap(given, box) >= 0.5))
    groups = images_of(items)
    return [
        share("accuracy at IoU 0.5", hits, groups),
        share("answers without a box", without, groups),
    ]


def _benchmark(title: str, splits: tuple[str, ...], *names: str) -> Benchmark:
    prompts = {"minigpt-v2": "[refer] give me the location of {}"}
    return Benchmark(title, splits, partial(_read, names), _score, prompts)


REFCOCO = _benchmark("RefCOCO", ("val", "testA", "testB"), "refcoco")
REFCOCO_PLUS = _benchmark("RefCOCO+", ("val", "testA", "testB"), "refcoco+")
REFCOCOG = _benchmark("RefCOCOg", ("val", "test"), "refcocog", "refcocog_umd")
