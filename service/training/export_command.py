"""``export``: write what ``align`` trained as the original's ``.pth``, or as a model folder."""

import argparse
from pathlib import Path

from service.model_folder.layout import ModelFolder
from service.training.export import read_trained, write_folder, write_original

_SUFFIX = ".pth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.description = (
        "Write a trained projection, and LoRA if there is one, in the layout of the original's "
        "checkpoints (--out FILE.pth), or as a model folder (--out FOLDER)."
    )
    parser.add_argument("--model", type=Path, required=True, help="model folder of a finished run")
    parser.add_argument(
        "--projection",
        type=Path,
        help="take the trained tensors of this file, such as checkpoints/step-000400.safetensors, "
        "instead of the folder's",
    )
    parser.add_argument(
        "--qformer", action="store_true", help="with its Q-Former, for --variant train-qformer"
    )
    parser.add_argument("--out", type=Path, required=True, help="a .pth file, or a new folder")


def run(arguments: argparse.Namespace) -> None:
    """Export.

    Raises:
        ServiceError: a file cannot be read, or the original has no such model.
        OSError: the result cannot be written.
    """
    folder = ModelFolder.open(arguments.model)
    trained = read_trained(folder, arguments.projection, qformer=arguments.qformer)
    write = write_original if arguments.out.suffix == _SUFFIX else write_folder
    write(folder, trained, arguments.out)
    print(f"{arguments.out}: {len(trained)} trained tensors")
