"""``failures``: how often detailed descriptions and poems fail, and in which way.

Source: Zhu et al. 2023, *MiniGPT-4*, section 4.3 and table 3: 100 images of COCO's test set, two
prompts, failures counted by hand. Here the rules of :mod:`.verdicts` count them; a judge that sees
the image counts irrelevant answers. Greedy decoding gives one answer an image; at a higher
temperature each seed gives one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.experiments.failure_results import Row, write_rows
from service.experiments.judge import Case, ask_judge, read_yes_no
from service.experiments.systems import Asking, System, ask_system
from service.experiments.verdicts import REASONS, Task, judge_text
from service.measurement.asking import Asked
from service.measurement.images import draw_sample, list_images
from service.measurement.intervals import Score, share
from service.measurement.questions import Question, Sampling

PROMPTS: dict[Task, str] = {
    "caption": "Describe the image in detail.",
    "poem": "Can you write a beautiful poem about this image?",
}
_RELEVANT = (
    "Read the text below. Is it about what this image shows? Wrong details do not matter; a text about "
    "something else does. Answer yes or no.\n\nText: {}"
)


@dataclass(frozen=True)
class Failures:
    """The options of the experiment.

    Attributes:
        number: Images drawn from the folder.
        seeds: Answers to each image at temperatures above 0.
    """

    images: Path
    systems: Sequence[System]
    judge: System | None = None
    tasks: Sequence[Task] = ("caption", "poem")
    temperatures: Sequence[float] = (0.0, 1.0)
    number: int = 100
    seeds: int = 3
    longest: int = 300


def run_failures(chosen: Failures, asking: Asking) -> list[Row]:
    """Ask, judge and write ``verdicts.jsonl``, ``results.json``, ``results.md`` and a plot.

    Raises:
        EvaluationError: the folder has no images, or a service fails.
    """
    images = draw_sample(list_images(chosen.images), chosen.number, seed=0)
    rows: list[Row] = []
    lines: list[dict[str, Any]] = []
    for system in chosen.systems:
        for task in chosen.tasks:
            for temperature in chosen.temperatures:
                row, verdicts = _measure(chosen, asking, system, task, temperature, images)
                rows.append(row)
                lines += verdicts
    write_rows(rows, lines, asking.out, judged=chosen.judge is not None)
    return rows


def _measure(
    chosen: Failures,
    asking: Asking,
    system: System,
    task: Task,
    temperature: float,
    images: Sequence[Path],
) -> tuple[Row, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    bad: dict[str, str] = {}
    for seed in range(chosen.seeds if temperature else 1):
        name = f"{task}-t{temperature:g}-seed{seed}"
        questions = [Question(image.name, PROMPTS[task], image) for image in images]
        sampling = Sampling(chosen.longest, temperature, seed)
        asked = ask_system(asking, system, name, questions, sampling)
        relevant = _ask_relevance(chosen, asking, f"{name}-{system.label}", asked)
        bad.update({f"{item} ({name})": why for item, why in asked.bad.items()})
        for item, answer in asked.answers.items():
            verdict = judge_text(
                task, answer.text, truncated=answer.truncated, relevant=relevant.get(item)
            )
            lines.append(
                {
                    "system": system.label,
                    "task": task,
                    "temperature": temperature,
                    "seed": seed,
                    "image": item,
                    "reasons": verdict.reasons,
                    "text": answer.text,
                }
            )
    return Row(system.label, task, temperature, _scores(lines, chosen.judge), bad), lines


def _ask_relevance(
    chosen: Failures, asking: Asking, name: str, asked: Asked
) -> dict[str, bool | None]:
    if chosen.judge is None:
        return {}
    cases = [
        Case(item, _RELEVANT.replace("{}", answer.text), chosen.images / item)
        for item, answer in asked.answers.items()
    ]
    said, _ = ask_judge(asking, chosen.judge, f"relevant-{name}", cases)
    return {item: read_yes_no(text) for item, text in said.items()}


def _scores(lines: Sequence[dict[str, Any]], judge: System | None) -> list[Score]:
    groups = [line["image"] for line in lines]
    counted = [reason for reason in REASONS if judge or reason != "irrelevant"]
    return [
        share("failed", [float(bool(line["reasons"])) for line in lines], groups),
        *(
            share(reason, [float(reason in line["reasons"]) for line in lines], groups)
            for reason in counted
        ),
    ]
