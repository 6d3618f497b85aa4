"""``init-model``: see :mod:`service.checkpoints.random_model`."""

import argparse
from pathlib import Path

from service.checkpoints.random_model import SIZES, init_model
from service.families import FAMILIES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("folder", type=Path, help="new or empty folder")
    parser.add_argument("--family", choices=FAMILIES, default="minigpt4-vicuna")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments: argparse.Namespace) -> None:
    """Write the folder."""
    init_model(arguments.folder, arguments.family, arguments.size, arguments.seed)
    print(f"{arguments.folder}: {arguments.family}, {arguments.size}, random weights")
