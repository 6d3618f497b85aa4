"""Run one benchmark: read its files, ask, score, write the results."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.chat_client import Endpoint
from service.errors import EvaluationError
from service.evaluation.benchmarks.benchmark import Benchmark, Item
from service.evaluation.benchmarks.registry import BENCHMARKS
from service.evaluation.benchmarks.results import Results
from service.measurement.answers import AnswerFile
from service.measurement.asking import Asked, ask_all, find_model
from service.measurement.files import ImageFolder, describe_missing
from service.measurement.questions import Question, Sampling


@dataclass(frozen=True)
class Run:
    """What the command line asks for.

    Attributes:
        name: Of the benchmark.
        data: Folder of its files.
        images: Folder of its images; None if they are in ``data``.
        split: Empty for the benchmark's default.
        limit: Items of each part at most; 0 for all.
        prompt: A prompt's name or a text with ``{}``; empty for the benchmark's default.
        longest: Tokens of the longest answer; 0 for the benchmark's own number.
        out: Folder of answers and results; None for ``results/NAME-SPLIT``.
        skip_missing: Leave out items without an image instead of stopping.
    """

    name: str
    data: Path
    endpoint: Endpoint
    images: Path | None = None
    split: str = ""
    limit: int = 0
    prompt: str = ""
    longest: int = 0
    temperature: float = 0.0
    concurrency: int = 8
    out: Path | None = None
    skip_missing: bool = False
    label: str = ""


def run_benchmark(run: Run) -> tuple[Results, Path]:
    """Ask what has no answer yet and score all answers.

    Returns:
        The results and the folder of the answers.

    Raises:
        EvaluationError: a file or an option is wrong, or the service fails.
    """
    benchmark = BENCHMARKS[run.name]
    split = run.split or benchmark.splits[0]
    if split not in benchmark.splits:
        known = ", ".join(benchmark.splits)
        raise EvaluationError(f"{run.name} has no split {split}; there are {known}.")
    prompt = _choose_prompt(benchmark, run.prompt)
    items = _take(benchmark.read(run.data, split), run.limit, run.data)
    questions, absent = _questions(items, prompt, run)
    longest = run.longest or benchmark.longest
    model = find_model(run.endpoint)
    endpoint = Endpoint(run.endpoint.url, model, run.endpoint.api_key)
    settings = {
        "benchmark": run.name,
        "split": split,
        "model": model,
        "prompt": prompt,
        "longest": longest,
        "temperature": run.temperature,
    }
    folder = run.out or Path("results") / f"{run.name}-{split}"
    sampling = Sampling(longest, run.temperature)
    with AnswerFile(folder / "answers.jsonl", settings) as file:
        asked = ask_all(endpoint, questions, file, sampling, run.concurrency)
    asked.bad.update(absent)
    return _score(benchmark, items, asked, settings, run.label or model), folder


def _choose_prompt(benchmark: Benchmark, chosen: str) -> str:
    if chosen in benchmark.prompts:
        return benchmark.prompts[chosen]
    default = next(iter(benchmark.prompts.values()))
    if not chosen:
        return default
    if "{}" in default and "{}" not in chosen:
        names = ", ".join(benchmark.prompts)
        raise EvaluationError(f"--prompt must be one of {names}, or a text with {{}} in it.")
    return chosen


def _take(items: Sequence[Item], limit: int, data: Path) -> list[Item]:
    """The first ``limit`` items of each part."""
    number: Counter[str] = Counter()
    taken: list[Item] = []
    for item in items:
        number[item.part] += 1
        if not limit or number[item.part] <= limit:
            taken.append(item)
    if not taken:
        raise EvaluationError(f"{data} has no items of this split.")
    twice = [name for name, times in Counter(item.id for item in taken).items() if times > 1]
    if twice:
        raise EvaluationError(f"{data}: question {twice[0]} is there twice.")
    return taken


def _questions(
    items: Sequence[Item], prompt: str, run: Run
) -> tuple[list[Question], dict[str, str]]:
    """The questions whose image exists, and why the others are left out."""
    folder = ImageFolder([run.images] if run.images else [run.data])
    questions: list[Question] = []
    absent: dict[str, str] = {}
    for item in items:
        image = folder.find(*item.images)
        if image is None:
            absent[item.id] = f"There is no image {item.images[0]}."
        else:
            questions.append(Question(item.id, prompt.replace("{}", item.question), image))
    if absent and not (run.skip_missing and questions):
        names = dict.fromkeys(item.images[0] for item in items if item.id in absent)
        where = run.images or run.data
        raise EvaluationError(
            f"{where}: {describe_missing(list(names))} Name their folder with --images"
            + (", or leave them out with --skip-missing." if questions else ".")
        )
    return questions, absent


def _score(
    benchmark: Benchmark,
    items: Sequence[Item],
    asked: Asked,
    settings: dict[str, object],
    label: str,
) -> Results:
    answered = [item for item in items if item.id in asked.answers]
    if not answered:
        raise EvaluationError("No item has an answer.")
    answers = [asked.answers[item.id] for item in answered]
    scores = benchmark.score(answered, [answer.text for answer in answers])
    return Results(
        title=benchmark.title,
        label=label,
        settings=settings,
        items=len(items),
        truncated=sum(answer.truncated for answer in answers),
        bad=asked.bad,
        note=benchmark.note,
        scores=scores,
    )
