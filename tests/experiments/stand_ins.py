"""Stand-in systems and judges, and the command line, for the experiments' tests."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from service.experiments.command import add_arguments, run
from tests.fake_openai import Answerer


def draw(folder: Path, *names: str) -> Path:
    """Small pictures, each of a colour of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (24, 16), (60 * number % 256, 120, 200)).save(folder / name)
    return folder


def text_of(body: dict[str, Any]) -> str:
    """The text of the request's last message."""
    return body["messages"][-1]["content"][-1]["text"]


def saying(reply: Callable[[str], str], seen: list[dict[str, Any]] | None = None) -> Answerer:
    """An answerer that looks at the text of the request only."""

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        if seen is not None:
            seen.append(body)
        return reply(text_of(body)), 5, "stop"

    return answer


def experiment(*words: str) -> None:
    """Run ``experiment`` with this command line."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args(words))
