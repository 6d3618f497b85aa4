"""``build-demo``: see :mod:`service.demo.build`."""

import argparse
from pathlib import Path
from typing import get_args

import torch

from service.demo.build import build_demo
from service.demo.recipe import FULL, QUICK
from service.training.trained_parts import Variant


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.description = (
        "Make the default model's weights from seed, on the CPU. Run again to resume."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and data")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.add_argument(
        "--variant",
        choices=get_args(Variant),
        default="published",
        help="what learns: the published projection, or a variant of the paper's ablation",
    )
    parser.add_argument(
        "--stage", choices=("1", "2"), default="2", help="stop after stage 1, or do both"
    )
    parser.add_argument(
        "--quick", action="store_true", help="only a few steps, to see that the build runs"
    )


def run(arguments: argparse.Namespace) -> None:
    """Build the default model and print its folder."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    stages = ("stage1",) if arguments.stage == "1" else ("stage1", "stage2")
    recipe = QUICK if arguments.quick else FULL
    print(build_demo(arguments.out, arguments.work, recipe, arguments.variant, stages))
