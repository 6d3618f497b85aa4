"""``experiment``: the command line of the paper's experiments."""

import argparse
import sys
from pathlib import Path

from service.errors import EvaluationError
from service.experiments.advanced_tasks import AdvancedTasks, run_advanced_tasks
from service.experiments.caption_coverage import DESCRIBE, Coverage, run_coverage
from service.experiments.failures import PROMPTS, Failures, run_failures
from service.experiments.systems import Asking, System, parse_system


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three experiments and their options."""
    parser.description = (
        "Repeat an experiment of the MiniGPT-4 paper on your own images, against any "
        "OpenAI-compatible services. A run that stops goes on with the same command."
    )
    chosen = parser.add_subparsers(dest="experiment", required=True, metavar="EXPERIMENT")
    failures = chosen.add_parser(
        "failures", help="how often detailed descriptions and poems fail", allow_abbrev=False
    )
    _add_common(failures, longest=300)
    failures.add_argument("--images", type=Path, required=True, metavar="FOLDER")
    failures.add_argument("--number", type=int, default=100, help="images drawn; 0 for all")
    failures.add_argument("--tasks", nargs="+", choices=PROMPTS, default=list(PROMPTS))
    failures.add_argument("--temperatures", nargs="+", type=float, default=[0.0, 1.0])
    failures.add_argument("--seeds", type=int, default=3, help="answers to an image above 0")
    tasks = chosen.add_parser(
        "advanced-tasks", help="memes, recipes, advertisements, poems", allow_abbrev=False
    )
    _add_common(tasks, longest=500)
    tasks.add_argument(
        "--images", type=Path, required=True, metavar="FOLDER", help="with a folder for each task"
    )
    tasks.add_argument(
        "--people", type=Path, nargs="+", default=[], metavar="CSV", help="verdicts from the sheet"
    )
    coverage = chosen.add_parser(
        "caption-coverage", help="COCO captions that a description covers", allow_abbrev=False
    )
    _add_common(coverage, longest=300)
    coverage.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="with captions_SPLIT.json"
    )
    coverage.add_argument("--images", type=Path, metavar="FOLDER", help="if not in --data")
    coverage.add_argument("--split", default="val2014")
    coverage.add_argument("--number", type=int, default=5000, help="images drawn; 0 for all")
    coverage.add_argument("--protocol", choices=("all", "one"), default="all")
    coverage.add_argument("--prompt", default=DESCRIBE)


def _add_common(parser: argparse.ArgumentParser, longest: int) -> None:
    parser.add_argument(
        "--system",
        action="append",
        required=True,
        metavar="LABEL=URL",
        help="a service to ask; twice for two side by side; LABEL=URL#MODEL names its model",
    )
    parser.add_argument("--api-key", default="none", help="of the systems")
    parser.add_argument(
        "--judge", metavar="LABEL=URL", help="a service that judges; LABEL=URL#MODEL as above"
    )
    parser.add_argument("--judge-api-key", default="none")
    parser.add_argument("--max-tokens", type=int, default=longest, metavar="N")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="answers and results")


def run(arguments: argparse.Namespace) -> None:
    """Run one experiment and print its table.

    Raises:
        EvaluationError: an option or a file is wrong, or a service fails.
    """
    number, seeds = getattr(arguments, "number", 0), getattr(arguments, "seeds", 1)
    if min(arguments.concurrency, arguments.max_tokens, seeds) < 1 or number < 0:
        raise EvaluationError("--concurrency, --max-tokens, --seeds and --number must be positive.")
    if any(not 0 <= one <= 2 for one in getattr(arguments, "temperatures", [])):
        raise EvaluationError("--temperatures must be between 0 and 2.")
    systems = [parse_system(text, arguments.api_key) for text in arguments.system]
    if len({system.label for system in systems}) < len(systems):
        raise EvaluationError("Two systems have the same label.")
    out = arguments.out or Path("results") / arguments.experiment
    asking = Asking(out, arguments.concurrency)
    _RUNS[arguments.experiment](arguments, systems, _judge(arguments), asking)
    print((out / "results.md").read_text("utf-8"), end="")
    print(out, file=sys.stderr)


def _judge(arguments: argparse.Namespace) -> System | None:
    if not arguments.judge:
        return None
    return parse_system(arguments.judge, arguments.judge_api_key, "--judge")


def _failures(
    arguments: argparse.Namespace, systems: list[System], judge: System | None, asking: Asking
) -> None:
    run_failures(
        Failures(
            images=arguments.images,
            systems=systems,
            judge=judge,
            tasks=arguments.tasks,
            temperatures=arguments.temperatures,
            number=arguments.number,
            seeds=arguments.seeds,
            longest=arguments.max_tokens,
        ),
        asking,
    )


def _advanced_tasks(
    arguments: argparse.Namespace, systems: list[System], judge: System | None, asking: Asking
) -> None:
    run_advanced_tasks(
        AdvancedTasks(
            images=arguments.images,
            systems=systems,
            judge=judge,
            people=arguments.people,
            longest=arguments.max_tokens,
        ),
        asking,
    )


def _coverage(
    arguments: argparse.Namespace, systems: list[System], judge: System | None, asking: Asking
) -> None:
    if judge is None:
        raise EvaluationError("caption-coverage needs --judge LABEL=URL.")
    run_coverage(
        Coverage(
            data=arguments.data,
            systems=systems,
            judge=judge,
            images=arguments.images,
            split=arguments.split,
            protocol=arguments.protocol,
            number=arguments.number,
            prompt=arguments.prompt,
            longest=arguments.max_tokens,
        ),
        asking,
    )


_RUNS = {
    "failures": _failures,
    "advanced-tasks": _advanced_tasks,
    "caption-coverage": _coverage,
}
