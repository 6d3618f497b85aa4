"""``caption``: describe all images of a folder, in a file that a later run continues."""

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from service.captioning.caption_file import CaptionFile
from service.captioning.own_service import run_service
from service.chat_client import Endpoint
from service.errors import CaptioningError
from service.measurement.asking import Asked, ask_all
from service.measurement.images import ENDINGS, find_images
from service.measurement.questions import Question, Sampling

PROMPT = "Describe this image in detail."
SHOWN = 20
"""Images without a caption that are named at the end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.description = (
        "Describe every image of a folder and the folders below it. The result is a JSONL with a line for each "
        "image. Run again to continue. The API key comes from CAPTION_API_KEY."
    )
    parser.add_argument("folder", type=Path, help="folder of images")
    parser.add_argument("--out", type=Path, required=True, help="the JSONL to write or continue")
    parser.add_argument("--url", help="a running service; without it, the command starts one")
    parser.add_argument(
        "--model",
        default="",
        help="with --url: the name of its model (default: the first it lists); "
        "without: the model folder to serve (default: the one that comes with the package)",
    )
    parser.add_argument("--prompt", default=PROMPT, help="the question about each image")
    parser.add_argument("--max-tokens", type=int, default=300, help="most tokens of a caption")
    parser.add_argument(
        "--temperature", type=float, default=0.0, help="0 decodes greedily, which is the default"
    )
    parser.add_argument(
        "--concurrency", type=int, default=4, help="images that are in work at the same time"
    )


def run(arguments: argparse.Namespace) -> None:
    """Caption, and say which images have no caption. Ctrl-C exits with status 130."""
    folder: Path = arguments.folder
    if not folder.is_dir():
        raise CaptioningError(f"{folder} is not a folder.")
    images = find_images(folder)
    if not images:
        raise CaptioningError(f"{folder} has no images ({', '.join(sorted(ENDINGS))}).")
    questions = [
        Question(str(image.relative_to(folder)), arguments.prompt, image) for image in images
    ]
    with CaptionFile(arguments.out, questions[0].digest) as file:
        before = len(file.answers)
        asked = _ask(arguments, questions, file)
        written = len(file.answers) - before
    print(
        f"{arguments.out}: {written} captions written, {len(asked.answers)} of {len(images)} images"
    )
    if asked.bad:
        raise CaptioningError(_name_bad(asked))


def _ask(arguments: argparse.Namespace, questions: list[Question], file: CaptionFile) -> Asked:
    if all(question.id in file.answers for question in questions):
        return Asked(file.answers)  # no service is needed
    own = run_service(arguments.model or "default")
    if not arguments.url:
        print("Starting a service ...", file=sys.stderr)
    with nullcontext(arguments.url) if arguments.url else own as url:
        name = arguments.model if arguments.url else ""
        endpoint = Endpoint(url, name, os.environ.get("CAPTION_API_KEY", "none"))
        sampling = Sampling(arguments.max_tokens, arguments.temperature)
        return ask_all(endpoint, questions, file, sampling, max(arguments.concurrency, 1))


def _name_bad(asked: Asked) -> str:
    lines = [f"Images without a caption: {len(asked.bad)}. Run again to try them again."]
    lines += [f"  {name}: {reason}" for name, reason in list(asked.bad.items())[:SHOWN]]
    if (more := len(asked.bad) - SHOWN) > 0:
        lines.append(f"  and {more} more")
    return "\n".join(lines)
