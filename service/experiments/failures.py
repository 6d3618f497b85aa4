"""``failures``: how often detailed descriptions and poems fail, and in which way.

Source: Zhu et al. 2023, *MiniGPT-4*, section 4.3 and table 3: 100 images of COCO's test set, two prompts,
failures counted by hand. Here the rules of :mod:`.verdicts` count them; a judge that sees the image counts
irrelevant answers. Greedy decoding gives one answer an image; at a higher temperature each seed gives one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from service.experiments.judge import Case, ask_judge, read_yes_no
from service.experiments.systems import Asking, System, ask_system
from service.experiments.verdicts import REASONS, Task, judge_text
from service.measurement.asking import Asked, Question, Sampling
from service.measurement.images import draw_sample, list_images
from service.measurement.intervals import Score, share
from service.measurement.report import markdown_table, plot_scores

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


@dataclass
class Row:
    """One system at one task and temperature."""

    system: str
    task: str
    temperature: float
    scores: list[Score]
    bad: dict[str, str] = field(default_factory=dict)


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
    _write(rows, lines, asking.out, judged=chosen.judge is not None)
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


def _write(
    rows: Sequence[Row], lines: Sequence[dict[str, Any]], out: Path, *, judged: bool
) -> None:
    names = [one.name for one in rows[0].scores]
    table = [
        [row.system, row.task, f"{row.temperature:g}", str(row.scores[0].number)]
        + [f"{one.value:.1f} ({one.low:.1f} to {one.high:.1f})" for one in row.scores]
        for row in rows
    ]
    text = markdown_table(("system", "task", "temperature", "answers", *names), table)
    text += ["", "Shares in percent with 95 % intervals. An answer can have several reasons."]
    if not judged:
        text.append("Irrelevant answers were not counted: that needs --judge.")
    text += [f"- {item}: {why}" for row in rows for item, why in row.bad.items()]
    (out / "results.md").write_text("\n".join(text) + "\n", "utf-8")
    content = json.dumps([asdict(row) for row in rows], indent=2) + "\n"
    (out / "results.json").write_text(content, "utf-8")
    written = [json.dumps(line, ensure_ascii=False) for line in lines]
    (out / "verdicts.jsonl").write_text("\n".join(written) + "\n", "utf-8")
    bars = [_bar(row) for row in rows]
    plot_scores(bars, "Failed answers", out / "results.png")


def _bar(row: Row) -> Score:
    one = row.scores[0]
    name = f"{row.system}, {row.task}, T={row.temperature:g}"
    return Score(name, one.value, one.low, one.high, one.number)
