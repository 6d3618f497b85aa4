"""``advanced-tasks``: do answers about memes, food, products and scenes do what was asked?

Source: Zhu et al. 2023, *MiniGPT-4*, section 4.2 and table 1; the prompts are printed in arXiv
version 2. The paper has 25 images of each task, and human judges. Here, the judges use a sheet
(:mod:`.sheet`), or an OpenAI-compatible judge sees image, prompt and answer; their agreement is
reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from service.errors import EvaluationError
from service.experiments.advanced_results import Found, write_found
from service.experiments.agreement import compare
from service.experiments.judge import Case, ask_judge, read_yes_no
from service.experiments.sheet import Shown, order, read_verdicts, write_sheet
from service.experiments.systems import Asking, System, ask_system
from service.measurement.images import list_images
from service.measurement.intervals import Score, share
from service.measurement.questions import Question, Sampling

PROMPTS = {
    "memes": "Explain why this meme is funny.",
    "recipes": "How should I make something like this?",
    "advertisements": "Help me draft a professional advertisement for this.",
    "poems": "Can you craft a beautiful poem about this image?",
}
_FULFILLED = (
    "A person showed this image to an assistant and asked: {1}\n\nThe assistant answered:\n{2}\n\nDoes the "
    "answer do what the person asked, and does it fit the image? Answer yes or no."
)

Verdicts = dict[str, bool]
"""By answer: the item's id and the answer's number on the sheet."""


@dataclass(frozen=True)
class AdvancedTasks:
    """The options of the experiment.

    Attributes:
        images: A folder with a folder of images for each task, named as in :data:`PROMPTS`.
        people: CSV files of people, written by the sheet.
    """

    images: Path
    systems: Sequence[System]
    judge: System | None = None
    people: Sequence[Path] = ()
    longest: int = 500


def run_advanced_tasks(chosen: AdvancedTasks, asking: Asking) -> Found:
    """Ask the systems, write ``sheet.html``, read and ask the judges, write the results.

    Raises:
        EvaluationError: a folder or CSV file is wrong, or a service fails.
    """
    questions = _questions(chosen.images)
    items, bad = _ask(chosen, asking, questions)
    write_sheet(asking.out / "sheet.html", items)
    known = {f"{item.id}/{at}" for item in items for at in range(1, len(item.answers) + 1)}
    judges: dict[str, Verdicts] = {file.stem: read_verdicts(file, known) for file in chosen.people}
    if chosen.judge is not None:
        judges[chosen.judge.label] = _ask_judge(asking, chosen.judge, items, bad)
    scores = [one for name, said in judges.items() for one in _scores(name, said, items)]
    pairs = [compare(*pair, judges[pair[0]], judges[pair[1]]) for pair in combinations(judges, 2)]
    found = Found(scores, [pair for pair in pairs if pair is not None], bad)
    write_found(found, asking.out)
    return found


def _questions(folder: Path) -> list[Question]:
    tasks = [task for task in PROMPTS if (folder / task).is_dir()]
    if not tasks:
        raise EvaluationError(f"{folder} has none of the folders {', '.join(PROMPTS)}.")
    return [
        Question(f"{task}/{image.name}", PROMPTS[task], image)
        for task in tasks
        for image in list_images(folder / task)
    ]


def _ask(
    chosen: AdvancedTasks, asking: Asking, questions: Sequence[Question]
) -> tuple[list[Shown], dict[str, str]]:
    answers: dict[str, dict[str, str]] = {}
    bad: dict[str, str] = {}
    for system in chosen.systems:
        asked = ask_system(asking, system, "answers", questions, Sampling(chosen.longest))
        answers[system.label] = {name: answer.text for name, answer in asked.answers.items()}
        bad.update({f"{name} ({system.label})": why for name, why in asked.bad.items()})
    items = []
    for question in questions:
        said = {
            label: texts[question.id] for label, texts in answers.items() if question.id in texts
        }
        if said and question.image:
            task = question.id.partition("/")[0]
            items.append(Shown(question.id, task, question.prompt, question.image, said))
    if not items:
        raise EvaluationError(f"No image has an answer. {next(iter(bad.values()), '')}")
    return items, bad


def _ask_judge(
    asking: Asking, judge: System, items: Sequence[Shown], bad: dict[str, str]
) -> Verdicts:
    cases = []
    for item in items:
        for at, system in enumerate(order(item.id, list(item.answers)), 1):
            text = _FULFILLED.replace("{1}", item.prompt).replace("{2}", item.answers[system])
            cases.append(Case(f"{item.id}/{at}", text, item.image))
    said, asked = ask_judge(asking, judge, "judge", cases)
    bad.update({f"{name} ({judge.label})": why for name, why in asked.bad.items()})
    verdicts: Verdicts = {}
    for name, text in said.items():
        verdict = read_yes_no(text)
        if verdict is None:
            bad[f"{name} ({judge.label})"] = f"neither yes nor no: {text[:80]!r}"
        else:
            verdicts[name] = verdict
    return verdicts


def _scores(judge: str, verdicts: Verdicts, items: Sequence[Shown]) -> list[Score]:
    hits: dict[tuple[str, str], list[float]] = {}
    for item in items:
        for at, system in enumerate(order(item.id, list(item.answers)), 1):
            verdict = verdicts.get(f"{item.id}/{at}")
            if verdict is not None:
                for task in (item.task, "all tasks"):
                    hits.setdefault((system, task), []).append(float(verdict))
    return [
        share(f"{judge}: {system}, {task}", values, [str(at) for at in range(len(values))])
        for (system, task), values in sorted(hits.items())
    ]
