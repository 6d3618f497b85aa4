"""``evaluate --benchmark``: the command line of the public benchmarks."""

import argparse
import sys
from pathlib import Path

from service.chat_client import Endpoint
from service.errors import EvaluationError
from service.evaluation.benchmarks.registry import BENCHMARKS
from service.evaluation.benchmarks.run import Run, run_benchmark


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a benchmark; ``--url``, ``--out`` and some others are shared."""
    group = parser.add_argument_group(
        "public benchmarks", "Measure a public benchmark instead of scenes. --out is a folder."
    )
    group.add_argument(
        "--benchmark", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS)
    )
    group.add_argument("--data", type=Path, metavar="FOLDER", help="the benchmark's own files")
    group.add_argument(
        "--images", type=Path, metavar="FOLDER", help="its images, if they are not in --data"
    )
    group.add_argument("--split", default="", help="part of the data set")
    group.add_argument(
        "--limit", type=int, default=0, metavar="N", help="only the first N items of each part"
    )
    group.add_argument("--prompt", default="", help="a prompt's name, or a text with {} in it")
    group.add_argument("--model", default="", help="model name, if the service has several")
    group.add_argument(
        "--max-tokens", type=int, default=0, metavar="N", help="length of the longest answer"
    )
    group.add_argument(
        "--skip-missing", action="store_true", help="leave out items whose image is missing"
    )


def run(arguments: argparse.Namespace) -> None:
    """Ask, score and write; a second run goes on where the first one stopped.

    Raises:
        EvaluationError: an option or a file is wrong, the service fails, or items have no answer.
    """
    if not arguments.data:
        raise EvaluationError("--benchmark needs --data FOLDER with the benchmark's files.")
    if arguments.concurrency < 1 or arguments.limit < 0 or arguments.max_tokens < 0:
        raise EvaluationError("--concurrency, --limit and --max-tokens must be positive numbers.")
    results, folder = run_benchmark(
        Run(
            name=arguments.benchmark,
            data=arguments.data,
            endpoint=Endpoint(arguments.url, arguments.model, arguments.api_key),
            images=arguments.images,
            split=arguments.split,
            limit=arguments.limit,
            prompt=arguments.prompt,
            longest=arguments.max_tokens,
            temperature=arguments.temperature,
            concurrency=arguments.concurrency,
            out=arguments.out,
            skip_missing=arguments.skip_missing,
            label="" if arguments.label == "model" else arguments.label,
        )
    )
    results.write(folder)
    print(results.table(), end="")
    print(folder / "results.md", file=sys.stderr)
    if results.bad:
        name, why = next(iter(results.bad.items()))
        raise EvaluationError(
            f"{len(results.bad)} of {results.items} items have no answer and are not in the scores. "
            f"The first is {name}: {why}"
        )
