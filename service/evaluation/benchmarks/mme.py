"""MME: yes-or-no questions in 14 tasks, two about each image.

Sources: Fu et al. 2023, *MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language
Models*; BradyFU/Awesome-Multimodal-Large-Language-Models, branch Evaluation: the release's folders
(format) and ``eval_tool/calculation.py`` (clean-up and scores). An answer is read from its first
four letters. A task's score is the percentage of right answers plus the percentage of images with
both answers right.
"""

from collections.abc import Sequence
from pathlib import Path

from service.errors import EvaluationError
from service.evaluation.benchmarks.benchmark import Benchmark, Item
from service.measurement.intervals import Score, Sums, score

PERCEPTION = (
    "existence",
    "count",
    "position",
    "color",
    "posters",
    "celebrity",
    "scene",
    "landmark",
    "artwork",
    "OCR",
)
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
_TASKS = (*PERCEPTION, *COGNITION)


def _read(folder: Path, split: str) -> list[Item]:
    """Read ``TASK/NAME.txt``, or ``TASK/questions_answers_YN/NAME.txt`` beside ``TASK/images/``."""
    chosen = {"perception": PERCEPTION, "cognition": COGNITION}.get(split, _TASKS)
    items: list[Item] = []
    for task in chosen:
        inner = folder / task / "questions_answers_YN"
        files = sorted((inner if inner.is_dir() else folder / task).glob("*.txt"))
        if not files:
            raise EvaluationError(f"{folder / task} has no questions (*.txt).")
        for file in files:
            items += _read_pair(file, task)
    return items


def _read_pair(file: Path, task: str) -> list[Item]:
    lines = [line for line in file.read_text("utf-8", "replace").splitlines() if line.strip()]
    if len(lines) != 2:
        raise EvaluationError(f"{file}: two lines are needed, there are {len(lines)}.")
    images = tuple(
        f"{task}/{place}{file.stem}{end}"
        for place in ("", "images/")
        for end in (".jpg", ".png", ".jpeg")
    )
    items = []
    for number, line in enumerate(lines, 1):
        question, _, label = (part.strip() for part in line.partition("\t"))
        if label not in ("Yes", "No"):
            raise EvaluationError(f"{file}, line {number}: no tab with Yes or No behind it.")
        items.append(Item(f"{task}/{file.stem}/{number}", images, question, label.lower(), task))
    return items


def read_label(answer: str) -> str:
    """``yes``, ``no`` or ``other``."""
    start = answer.lower()[:4]
    return "yes" if "yes" in start else "no" if "no" in start else "other"


def _score(items: Sequence[Item], answers: Sequence[str]) -> list[Score]:
    right = [read_label(answer) == item.truth for item, answer in zip(items, answers, strict=True)]
    tasks = [task for task in _TASKS if any(item.part == task for item in items)]
    sums: dict[str, list[float]] = {}
    for item, good in zip(items, right, strict=True):
        row = sums.setdefault(item.images[0], [0.0] * (4 * len(tasks)))
        at = 4 * tasks.index(item.part)
        row[at] += good
        row[at + 1] += 1
    for row in sums.values():
        for at in range(0, len(row), 4):
            row[at + 2] = float(row[at] == 2)
            row[at + 3] = float(row[at + 1] > 0)
    images = list(sums)
    rows = [sums[image] for image in images]
    scores = []
    for name, part in (("perception", PERCEPTION), ("cognition", COGNITION)):
        chosen = [tasks.index(task) for task in part if task in tasks]
        if chosen:
            scores.append(_total(name, rows, images, chosen))
            scores += [_total(tasks[task], rows, images, [task]) for task in chosen]
    return scores


def _total(
    name: str, rows: Sequence[Sequence[float]], images: Sequence[str], tasks: Sequence[int]
) -> Score:
    """Columns of each task: right answers, answers, images with both right, images."""

    def add(sums: Sums) -> Sums:
        points = [
            100 * sums[..., 4 * task + part] / sums[..., 4 * task + part + 1].clip(min=1)
            for task in tasks
            for part in (0, 2)
        ]
        total: Sums = sum(points[1:], start=points[0])
        return total

    chosen = [number for number, row in enumerate(rows) if any(row[4 * task + 1] for task in tasks)]
    return score(name, [rows[n] for n in chosen], [images[n] for n in chosen], add, "points")


BENCHMARK = Benchmark("MME", ("all", "perception", "cognition"), _read, _score, {"mme": "{}"}, 64)
