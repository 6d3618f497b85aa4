"""``compose``: make a model folder of any vision encoder and any language model."""

import argparse
from pathlib import Path
from typing import get_args

from service.checkpoints.composition.vision import VisionChoice
from service.checkpoints.composition.writing import Placement, compose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("folder", type=Path, help="the new model folder")
    parser.add_argument(
        "--vision",
        required=True,
        help="folder or hub id of a vision model (DINOv2, CLIP, SigLIP, BLIP-2, ...), or a model "
        "folder whose encoder is taken as it is",
    )
    parser.add_argument(
        "--llm", required=True, help="folder or hub id of a chat model that vLLM serves"
    )
    parser.add_argument(
        "--tokens",
        type=int,
        help="visual tokens of an image, a square number: each takes the patches of a square "
        "neighbourhood (default: one token a patch)",
    )
    parser.add_argument(
        "--grouping",
        choices=("mean", "concatenate"),
        default="mean",
        help="how the patches of a neighbourhood become one token (default: %(default)s)",
    )
    parser.add_argument(
        "--layers",
        type=_parse_layers,
        default=(-1,),
        metavar="N,N,...",
        help="layers of the vision model to read, side by side; --layers=-2 is the last but one "
        "(default: the last)",
    )
    parser.add_argument(
        "--class-token", action="store_true", help="add the class token to each visual token"
    )
    parser.add_argument(
        "--image-size", type=int, help="side of the input in pixels (default: the vision model's)"
    )
    parser.add_argument(
        "--template", type=Path, help="Jinja chat template (default: the language model's own)"
    )
    parser.add_argument(
        "--llm-files",
        choices=get_args(Placement),
        default="reference",
        help="whether to reference or copy a language model on this disk (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random projection")


def run(arguments: argparse.Namespace) -> None:
    """Write the folder, and say which commands come next."""
    choice = VisionChoice(
        source=arguments.vision,
        layers=arguments.layers,
        class_token=arguments.class_token,
        tokens=arguments.tokens,
        grouping=arguments.grouping,
        image_size=arguments.image_size,
    )
    folder = arguments.folder
    index = compose(
        folder,
        choice,
        arguments.llm,
        arguments.template,
        arguments.llm_files,
        arguments.seed,
    )
    print(
        f"{folder}: {index.architecture}, {index.visual_tokens} visual tokens of images of "
        f"{index.image_size} px, a random projection"
    )
    print(
        f"Train it: python -m service align --model {folder} --preset stage1 --data ... --out ..."
    )


def _parse_layers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a list of numbers") from None
