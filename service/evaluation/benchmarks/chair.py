"""CHAIR: how many of the objects that a caption names are not in the image.

Sources: Rohrbach et al. 2018, *Object Hallucination in Image Captioning*; LisaAnne/Hallucination,
``utils/chair.py`` (scores); Zhu et al. 2023, *MiniGPT-4*, section 4.5 (prompts ``short`` and
``long``); Li et al. 2023, *POPE*, table 1 (prompts ``pope-1`` and ``pope-2``). An image has the
objects of its segments and of its people's captions; without a caption file, those of its segments
alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from service.errors import EvaluationError
from service.evaluation.benchmarks.benchmark import Benchmark, Item, images_of
from service.evaluation.benchmarks.chair_objects import objects_in, read_synonyms
from service.measurement.files import find_file, read_json
from service.measurement.intervals import Score, Sums, score, share


class _Image(BaseModel):
    id: int
    file_name: str


class _Category(BaseModel):
    id: int
    name: str


class _Segment(BaseModel):
    image_id: int
    category_id: int


class _Instances(BaseModel):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Segment]


class _Caption(BaseModel):
    image_id: int
    caption: str


class _Captions(BaseModel):
    annotations: list[_Caption]


def _read(folder: Path, split: str) -> list[Item]:
    synonyms = read_synonyms(find_file(folder, "synonyms.txt"))
    file = find_file(folder, f"instances_{split}.json")
    content = read_json(file, _Instances)
    names = {category.id: category.name for category in content.categories}
    present: dict[int, set[str]] = defaultdict(set)
    for segment in content.annotations:
        name = names.get(segment.category_id)
        if name not in synonyms:
            raise EvaluationError(f"{file}: synonyms.txt has no category {name!r}.")
        present[segment.image_id].add(synonyms[name])
    try:
        captions = find_file(folder, f"captions_{split}.json")
    except EvaluationError:
        pass
    else:
        for said in read_json(captions, _Captions).annotations:
            present[said.image_id].update(objects_in(said.caption, synonyms))
    return [
        Item(str(one.id), (one.file_name,), "", (sorted(present[one.id]), synonyms))
        for one in content.images
    ]


def _score(items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    rows: list[tuple[float, float]] = []
    for item, answer in zip(items, answers, strict=True):
        present, synonyms = item.truth
        named = objects_in(answer, synonyms)
        rows.append((sum(name not in present for name in named), len(named)))
    groups = images_of(items)
    lengths = [(float(len(answer.split())), 1.0) for answer in answers]
    return [
        score("CHAIR_i", rows, groups, _percent),
        share("CHAIR_s", [float(wrong > 0) for wrong, _ in rows], groups),
        score("length", lengths, groups, lambda sums: _percent(sums) / 100, "words"),
    ]


def _percent(sums: Sums) -> Sums:
    return 100 * sums[..., 0] / sums[..., 1].clip(min=1)


BENCHMARK = Benchmark(
    "CHAIR",
    ("val2014", "train2014"),
    _read,
    _score,
    {
        "short": "Please describe the image shortly and precisely, in less than 20 words.",
        "long": "Please describe this image as detailed as possible.",
        "pope-1": "Generate a short caption of the image.",
        "pope-2": "Provide a brief description of the given image.",
    },
    longest=300,
)
