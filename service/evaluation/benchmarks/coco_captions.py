"""COCO captions: one sentence about an image, compared with people's sentences.

Sources: Chen et al. 2015, *Microsoft COCO Captions*; COCO's ``captions_val2014.json`` and
Karpathy's ``dataset_coco.json`` (formats); tylin/coco-caption (scores, see :mod:`.caption_words`
and :mod:`.caption_metrics`); Vision-CAIR/MiniGPT-4, ``coco_caption.py`` (prompt). CIDEr depends on
the set of images, so a run with ``--limit`` does not give the published figure. METEOR and SPICE
need Java programs and are left out.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from service.errors import EvaluationError
from service.evaluation.benchmarks.benchmark import Benchmark, Item, coco_names, images_of
from service.evaluation.benchmarks.caption_metrics import bleu, bleu_row, cider
from service.evaluation.benchmarks.caption_words import split_words
from service.measurement.files import find_file, read_json
from service.measurement.intervals import Score, Sums, score


class _Image(BaseModel):
    id: int
    file_name: str


class _Caption(BaseModel):
    image_id: int
    caption: str


class _Captions(BaseModel):
    images: list[_Image]
    annotations: list[_Caption]


class _Sentence(BaseModel):
    raw: str


class _KarpathyImage(BaseModel):
    filename: str
    cocoid: int
    split: Literal["train", "restval", "val", "test"]
    sentences: list[_Sentence]


class _Karpathy(BaseModel):
    images: list[_KarpathyImage]


def _read(folder: Path, split: str) -> list[Item]:
    if split.startswith("karpathy-"):
        return _read_karpathy(folder, split.removeprefix("karpathy-"))
    file = find_file(folder, f"captions_{split}.json")
    content = read_json(file, _Captions)
    said: dict[int, list[str]] = defaultdict(list)
    for one in content.annotations:
        said[one.image_id].append(one.caption)
    for image in content.images:
        if image.id not in said:
            raise EvaluationError(f"{file} has no caption of image {image.id}.")
    return [Item(str(one.id), (one.file_name,), "", said[one.id]) for one in content.images]


def _read_karpathy(folder: Path, split: str) -> list[Item]:
    images = read_json(find_file(folder, "dataset_coco.json"), _Karpathy).images
    return [
        Item(
            str(one.cocoid),
            (one.filename, *coco_names(one.cocoid)),
            "",
            [sentence.raw for sentence in one.sentences],
        )
        for one in images
        if one.split == split
    ]


def _score(items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    words = [split_words(answer) for answer in answers]
    references = [[split_words(one) for one in item.truth] for item in items]
    rows = [bleu_row(*pair) for pair in zip(words, references, strict=True)]
    groups = images_of(items)
    values = [(value, 1.0) for value in cider(words, references)]
    lengths = [(float(len(one)), 1.0) for one in words]
    return [
        score("CIDEr", values, groups, _mean, "points"),
        *(score(f"BLEU-{n}", rows, groups, partial(bleu, length=n)) for n in (1, 4)),
        score("length", lengths, groups, _mean, "words"),
    ]


def _mean(sums: Sums) -> Sums:
    return sums[..., 0] / sums[..., 1]


BENCHMARK = Benchmark(
    "COCO captions",
    ("val2014", "karpathy-test", "karpathy-val", "val2017"),
    _read,
    _score,
    {"minigpt-v2": "[caption] please describe this image?", "plain": "please describe this image?"},
    longest=60,
)
