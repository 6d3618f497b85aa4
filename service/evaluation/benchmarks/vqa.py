"""VQAv2 and OK-VQA: open questions about COCO images, ten people's answers each.

Sources: Goyal et al. 2017, *Making the V in VQA Matter*; Marino et al. 2019, *OK-VQA*; the data
sets' own files (format); GT-Vision-Lab/VQA (score, see :mod:`.vqa_normalisation`);
Vision-CAIR/MiniGPT-4, ``vqa_datasets.py`` and ``eval_vqa.py`` (prompt and clean-up: lower case,
without ``<unk>``). MiniGPT-4's copy of the scorer ignores case; so does OK-VQA here.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from service.errors import EvaluationError
from service.evaluation.benchmarks.benchmark import (
    VQA_PROMPTS,
    Benchmark,
    Item,
    coco_names,
    images_of,
)
from service.evaluation.benchmarks.exact import clean
from service.evaluation.benchmarks.vqa_normalisation import vqa_accuracy
from service.measurement.files import find_file, read_json
from service.measurement.intervals import Score, share


class _Question(BaseModel):
    question_id: int
    image_id: int
    question: str


class _Questions(BaseModel):
    questions: list[_Question]


class _Said(BaseModel):
    answer: str


class _Annotation(BaseModel):
    question_id: int
    answers: list[_Said]
    answer_type: str = ""


class _Annotations(BaseModel):
    annotations: list[_Annotation]


def _read(prefix: str, folder: Path, split: str) -> list[Item]:
    cleaned = ("_clean",) if not prefix else ()
    names = [f"{prefix}OpenEnded_mscoco_{split}_questions{end}.json" for end in (*cleaned, "")]
    questions = read_json(find_file(folder, *names), _Questions).questions
    names = [f"{prefix}mscoco_{split}_annotations{end}.json" for end in (*cleaned, "")]
    file = find_file(folder, *names)
    known = {one.question_id: one for one in read_json(file, _Annotations).annotations}
    items: list[Item] = []
    for one in questions:
        if one.question_id not in known:
            raise EvaluationError(f"{file} has no answers to question {one.question_id}.")
        said = known[one.question_id]
        people = [each.answer for each in said.answers]
        images = coco_names(one.image_id, split)
        items.append(Item(str(one.question_id), images, one.question, people, said.answer_type))
    return items


def _score(fold_case: bool, items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    values = [
        vqa_accuracy(clean(answer), item.truth, fold_case=fold_case)
        for item, answer in zip(items, answers, strict=True)
    ]
    scores = [share("accuracy", values, images_of(items))]
    kinds: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        kinds[item.part].append(number)
    if len(kinds) > 1:
        for kind, chosen in kinds.items():
            groups = images_of([items[number] for number in chosen])
            scores.append(share(kind, [values[number] for number in chosen], groups))
    return scores


VQAV2 = Benchmark(
    "VQAv2", ("val2014", "train2014"), partial(_read, "v2_"), partial(_score, False), VQA_PROMPTS
)
OKVQA = Benchmark(
    "OK-VQA", ("val2014", "train2014"), partial(_read, ""), partial(_score, True), VQA_PROMPTS
)
