"""IconQA, text choices: questions about diagrams.

Sources: Lu et al. 2021, *IconQA*; its ``problems.json`` with ``pid_splits.json``, and the MiniGPT-4
repository's ``choose_text_val.json`` (formats); Vision-CAIR/MiniGPT-4, ``vqa_datasets.py``
(prompt). ``eval_vqa.py`` ranks the choices by the model's loss of each one. A chat completion has
no losses of given texts: here the prompt lists the choices and the answer is matched with them, so
figures can differ.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from service.errors import EvaluationError
from service.evaluation.benchmarks.aokvqa import score_choices
from service.evaluation.benchmarks.benchmark import VQA_PROMPTS, Benchmark, Item
from service.evaluation.benchmarks.choices import ask_to_choose
from service.measurement.files import find_file, read_json

_TASK = "choose_txt"


class _Problem(BaseModel):
    question: str
    choices: list[str] = Field(min_length=2)
    answer: int = Field(ge=0)


class _Listed(_Problem):
    image_id: str


def _read(folder: Path, split: str) -> list[Item]:
    try:
        file = find_file(folder, f"choose_text_{split}.json", f"choose_txt_{split}.json")
    except EvaluationError:
        return _read_problems(folder, split)
    return [_item(one.image_id, one, (one.image_id,)) for one in read_json(file, list[_Listed])]


def _read_problems(folder: Path, split: str) -> list[Item]:
    """Read the data set's own two files. Only the problems of this task have the fields needed."""
    splits = read_json(find_file(folder, "pid_splits.json"), dict[str, list[str]])
    name = f"{_TASK}_{split}"
    if name not in splits:
        raise EvaluationError(f"{folder}/pid_splits.json has no list {name}.")
    file = find_file(folder, "problems.json")
    problems: dict[str, Any] = read_json(file, dict[str, Any])
    items = []
    for number in splits[name]:
        try:
            problem = _Problem.model_validate(problems[number])
        except (KeyError, ValueError) as error:
            raise EvaluationError(f"{file}: problem {number} is missing or malformed.") from error
        items.append(_item(number, problem, (f"{split}/{_TASK}/{number}", number)))
    return items


def _item(name: str, problem: _Problem, places: tuple[str, ...]) -> Item:
    images = tuple(f"{place}/image.png" for place in places)
    truth = (problem.choices, problem.answer)
    return Item(name, images, ask_to_choose(problem.question, problem.choices), truth)


BENCHMARK = Benchmark(
    "IconQA, text choices",
    ("val", "test", "train"),
    _read,
    score_choices,
    VQA_PROMPTS,
    note="The original ranks the choices by their loss; here the prompt lists them and the answer is "
    "matched with them.",
)
