"""``vllm-command``: the line that serves a model folder with plain vLLM and this project's plugin."""

import argparse
import shlex
from pathlib import Path

from service.engine.arguments import model_flags
from service.images import CONNECTOR_NAME
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("folder", type=Path, help="model folder")


def run(arguments: argparse.Namespace) -> None:
    """Print the line."""
    folder = ModelFolder.open(arguments.folder)
    validate(folder)
    model, *flags = (
        part for pair in model_flags(folder).items() for part in pair if part != "--model"
    )
    print(f"VLLM_MEDIA_CONNECTOR={CONNECTOR_NAME} vllm serve {shlex.join([model, *flags])}")
