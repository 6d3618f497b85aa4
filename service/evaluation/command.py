"""``evaluate``: measure a running service, or compare earlier measurements in a report."""

import argparse
import sys
from pathlib import Path

from service.errors import EvaluationError
from service.evaluation.asking import ask_all
from service.evaluation.benchmarks import command as benchmarks
from service.evaluation.questions import KINDS, SETS, make_questions
from service.evaluation.report import format_table, write_report
from service.evaluation.results import SceneResults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Ask a running service about seeded scenes and check its answers. With --report, write the table "
        "and the plot of earlier measurements. With --benchmark, measure a public benchmark."
    )
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:8000",
        help="address of the service (default: %(default)s)",
    )
    parser.add_argument(
        "--api-key", default="none", help="key of the service (default: %(default)s)"
    )
    parser.add_argument(
        "--set",
        choices=SETS,
        default="held-out",
        dest="test_set",
        help="scenes drawn in the training pictures' style, or in another one (default: %(default)s)",
    )
    parser.add_argument(
        "--questions",
        type=int,
        default=100,
        help="number of questions of each kind (default: %(default)s)",
    )
    parser.add_argument(
        "--turns-before",
        type=int,
        default=0,
        metavar="N",
        help="ask N other questions about the same picture first, in the same conversation",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        help="0 decodes greedily; above 0 the service samples, as the original's demo does",
    )
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=KINDS, help="kinds of questions (default: all)"
    )
    parser.add_argument(
        "--concurrency", type=int, default=8, help="requests at a time (default: %(default)s)"
    )
    parser.add_argument("--label", default="model", help="name of the model in reports")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument(
        "--report", type=Path, nargs="+", metavar="JSON", help="results of earlier runs to compare"
    )
    parser.add_argument(
        "--docs",
        type=Path,
        default=Path("docs"),
        help="folder for the report (default: %(default)s)",
    )
    benchmarks.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure a benchmark or scenes, or write a report."""
    if arguments.benchmark:
        benchmarks.run(arguments)
    elif arguments.report:
        write_report([SceneResults.load(file) for file in arguments.report], arguments.docs)
        print(arguments.docs / "evaluation-table.md")
    else:
        _measure_scenes(arguments)


def _measure_scenes(arguments: argparse.Namespace) -> None:
    if arguments.questions < 1 or arguments.concurrency < 1:
        raise EvaluationError("--questions and --concurrency must be at least 1.")
    if arguments.turns_before < 0 or not 0 <= arguments.temperature <= 2:
        raise EvaluationError(
            "--turns-before must be at least 0, and --temperature between 0 and 2."
        )
    results = SceneResults(
        arguments.label,
        arguments.test_set,
        turns_before=arguments.turns_before,
        temperature=arguments.temperature,
    )
    for kind in arguments.kinds:
        questions = make_questions(
            arguments.test_set, kind, arguments.questions, arguments.turns_before
        )
        answers = ask_all(
            arguments.url,
            questions,
            concurrency=arguments.concurrency,
            api_key=arguments.api_key,
            temperature=arguments.temperature,
        )
        results.add(kind, questions, answers)
        print(f"{kind}: {len(questions)} questions asked", file=sys.stderr, flush=True)
        if arguments.out:
            results.save(arguments.out)
    print(format_table([results]), end="")
