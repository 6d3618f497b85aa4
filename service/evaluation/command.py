"""``evaluate``: measure a running service, or put measurements side by side."""

import argparse
import sys
from pathlib import Path

from service.errors import EvaluationError
from service.evaluation.benchmarks import command as benchmarks
from service.evaluation.client import ask_all
from service.evaluation.figures import Figures, measure
from service.evaluation.questions import KINDS, SETS, questions
from service.evaluation.report import table, write_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.description = (
        "Ask a running service about seeded scenes and measure its answers; or, with --report, write "
        "the table and plot of several measurements."
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the service")
    parser.add_argument("--api-key", default="none")
    parser.add_argument("--set", choices=SETS, default="held-out", dest="test_set")
    parser.add_argument("--questions", type=int, default=100, help="questions of each kind")
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
        help="above 0: sample, as the original's demo does",
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--label", default="model", help="name of the model in reports")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument(
        "--report", type=Path, nargs="+", metavar="JSON", help="earlier figures to compare"
    )
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the report goes")
    benchmarks.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure, or report."""
    if arguments.benchmark:
        benchmarks.run(arguments)
        return
    if arguments.report:
        write_report([Figures.load(file) for file in arguments.report], arguments.docs)
        print(arguments.docs / "evaluation-table.md")
        return
    if arguments.questions < 1 or arguments.concurrency < 1:
        raise EvaluationError("--questions and --concurrency must be at least 1.")
    if arguments.turns_before < 0 or not 0 <= arguments.temperature <= 2:
        raise EvaluationError("--turns-before must be 0 or more, --temperature between 0 and 2.")
    figures = Figures(
        arguments.label,
        arguments.test_set,
        turns_before=arguments.turns_before,
        temperature=arguments.temperature,
    )
    for kind in arguments.kinds:
        items = questions(arguments.test_set, kind, arguments.questions, arguments.turns_before)
        answers = ask_all(
            arguments.url,
            items,
            concurrency=arguments.concurrency,
            api_key=arguments.api_key,
            temperature=arguments.temperature,
        )
        measure(figures, kind, items, answers)
        print(f"{kind}: {len(items)} questions asked", file=sys.stderr, flush=True)
        if arguments.out:
            figures.save(arguments.out)
    print(table([figures]), end="")
