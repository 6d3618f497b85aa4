"""``curate``: see :mod:`service.curation.pipeline`."""

import argparse
import os
import sys
from pathlib import Path

from service.chat_client import Endpoint
from service.curation.pipeline import curate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.description = (
        "A running stage-1 service describes a folder of images, and another service cleans the "
        "descriptions up. The result is a JSONL, which `align` reads after a person has looked "
        "through it. Run again to continue. API keys come from CURATE_API_KEY and "
        "CURATE_FIXER_API_KEY."
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--out", type=Path, required=True, help="the JSONL to write or continue")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the stage-1 service")
    parser.add_argument(
        "--fixer-url", required=True, help="OpenAI-compatible service that cleans up"
    )
    parser.add_argument("--fixer-model", default="", help="its model; default: the first it lists")
    parser.add_argument(
        "--concurrency", type=int, default=4, help="images that are in work at the same time"
    )


def run(arguments: argparse.Namespace) -> None:
    """Curate. Ctrl-C exits with the shell's status for it, 130."""
    describer = Endpoint(arguments.url, api_key=os.environ.get("CURATE_API_KEY", "none"))
    fixer_key = os.environ.get("CURATE_FIXER_API_KEY", "none")
    fixer = Endpoint(arguments.fixer_url, arguments.fixer_model, fixer_key)
    out, concurrency = arguments.out, max(arguments.concurrency, 1)
    try:
        written, kept = curate(
            arguments.images, out, describer, fixer, concurrency=concurrency, show_progress=True
        )
    except KeyboardInterrupt:
        print(
            f"Interrupted; {out} has the finished images. Run again to continue.", file=sys.stderr
        )
        sys.exit(130)
    print(f"{out}: {written} lines written, {kept} of them kept by the filters")
