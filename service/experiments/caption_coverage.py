"""``caption-coverage``: how many of COCO's captions of an image a description covers.

Sources: Zhu et al. 2023, *MiniGPT-4*, table 2 and appendix A.3 (protocol ``all``: a judge reads all
captions of an image; 5,000 images drawn from the validation set), and arXiv version 2, its appendix
on caption evaluation (protocol ``one``: one caption drawn for each image). The judge was GPT-4
turbo, and ChatGPT. The papers do not print the prompt of the description; the default is that of
the paper's section 4.3.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel

from service.errors import EvaluationError
from service.experiments.coverage_judge import Protocol, case_text, pick, read_verdicts
from service.experiments.judge import Case, ask_judge
from service.experiments.systems import Asking, System, ask_system
from service.measurement.files import ImageFolder, describe_missing, find_file, read_json
from service.measurement.images import draw_sample
from service.measurement.intervals import Score, Sums, score, share
from service.measurement.questions import Question, Sampling
from service.measurement.report import markdown_table, plot_scores, score_row

DESCRIBE = "Describe the image in detail."


class _Image(BaseModel):
    id: int
    file_name: str


class _Caption(BaseModel):
    image_id: int
    caption: str


class _Captions(BaseModel):
    images: list[_Image]
    annotations: list[_Caption]


@dataclass(frozen=True)
class Coverage:
    """The options of the experiment.

    Attributes:
        data: Folder with ``captions_SPLIT.json``.
        images: Folder of the images; None if they are in ``data``.
    """

    data: Path
    systems: Sequence[System]
    judge: System
    images: Path | None = None
    split: str = "val2014"
    protocol: Protocol = "all"
    number: int = 5000
    prompt: str = DESCRIBE
    longest: int = 300


def run_coverage(chosen: Coverage, asking: Asking) -> list[Score]:
    """Ask, judge, and write ``results.json``, ``results.md`` and a plot.

    Raises:
        EvaluationError: a file or an image is missing, or a service fails.
    """
    questions, captions = _read(chosen)
    scores: list[Score] = []
    left_out: dict[str, str] = {}
    for system in chosen.systems:
        found, bad = _measure(chosen, asking, system, questions, captions)
        scores += found
        left_out.update(bad)
    heads = ("figure", "value", "95 % interval", "images")
    lines = markdown_table(heads, [score_row(one) for one in scores])
    lines += ["", *(f"- {item}: {why}" for item, why in left_out.items())]
    (asking.out / "results.md").write_text("\n".join(lines).rstrip() + "\n", "utf-8")
    content = {"scores": [asdict(one) for one in scores], "left_out": left_out}
    (asking.out / "results.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    plot_scores(scores, "Captions covered", asking.out / "results.png")
    return scores


def _read(chosen: Coverage) -> tuple[list[Question], dict[str, list[str]]]:
    file = find_file(chosen.data, f"captions_{chosen.split}.json")
    content = read_json(file, _Captions)
    captions: dict[str, list[str]] = defaultdict(list)
    for one in content.annotations:
        captions[str(one.image_id)].append(one.caption.strip())
    known = [image for image in content.images if str(image.id) in captions]
    if not known:
        raise EvaluationError(f"{file} has no image with captions.")
    folder = ImageFolder([chosen.images or chosen.data])
    questions, missing = [], []
    for image in draw_sample(known, chosen.number, seed=0):
        path = folder.find(image.file_name)
        if path is None:
            missing.append(image.file_name)
        else:
            questions.append(Question(str(image.id), chosen.prompt, path))
    if missing:
        raise EvaluationError(f"{chosen.images or chosen.data}: {describe_missing(missing)}")
    return questions, captions


def _measure(
    chosen: Coverage,
    asking: Asking,
    system: System,
    questions: Sequence[Question],
    captions: dict[str, list[str]],
) -> tuple[list[Score], dict[str, str]]:
    asked = ask_system(asking, system, "describe", questions, Sampling(chosen.longest))
    picked = {item: pick(chosen.protocol, item, captions[item]) for item in asked.answers}
    cases = [
        Case(item, case_text(chosen.protocol, answer.text, picked[item]))
        for item, answer in asked.answers.items()
    ]
    name = f"judge-{chosen.protocol}-{system.label}"
    said, judged = ask_judge(asking, chosen.judge, name, cases)
    left_out = {f"{item} ({system.label})": why for item, why in (asked.bad | judged.bad).items()}
    rows: list[tuple[float, float, float]] = []
    for item, text in said.items():
        verdicts = read_verdicts(chosen.protocol, text, len(picked[item]))
        if None in verdicts:
            left_out[f"{item} ({system.label})"] = (
                f"The judge's answer cannot be read: {text[:80]!r}"
            )
            continue
        rows.append((float(sum(map(bool, verdicts))), float(len(verdicts)), 1.0))
    if not rows:
        first = next(iter(left_out.values()), "")
        raise EvaluationError(f"The judge judged no answer of {system.label}. {first}")
    return _scores(system.label, chosen.protocol, rows), left_out


def _scores(
    label: str, protocol: Protocol, rows: Sequence[tuple[float, float, float]]
) -> list[Score]:
    groups = [str(number) for number in range(len(rows))]
    if protocol == "one":
        return [share(f"{label}: images covered", [covered for covered, _, _ in rows], groups)]

    def per_image(sums: Sums) -> Sums:
        return sums[..., 0] / sums[..., 2]

    def percent(sums: Sums) -> Sums:
        return 100 * sums[..., 0] / sums[..., 1]

    return [
        score(f"{label}: captions covered for each image", rows, groups, per_image, "captions"),
        score(f"{label}: share of captions", rows, groups, percent),
    ]
