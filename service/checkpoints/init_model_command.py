"""``init-model``: make a model folder with random weights."""

import argparse
from pathlib import Path

from service.checkpoints.random_model import SIZES, init_model
from service.families import FAMILIES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="new or empty folder")
    parser.add_argument(
        "--family",
        choices=FAMILIES,
        default="minigpt4-vicuna",
        help="the published variant of MiniGPT-4 (default: %(default)s)",
    )
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="tiny",
        help="tiny for tests, or a published size (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the random weights (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the folder."""
    init_model(arguments.folder, arguments.family, arguments.size, arguments.seed)
    print(f"{arguments.folder}: {arguments.family}, {arguments.size}, random weights")
