"""Run ``evaluate --benchmark`` against a stand-in service that knows a data set's answers."""

import argparse
import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from service.evaluation.command import add_arguments, run
from tests.evaluation.benchmarks.data_sets import MAKERS, DataSet
from tests.fake_openai import Answerer


def make(name: str, folder: Path) -> DataSet:
    data = DataSet(folder)
    folder.mkdir(parents=True, exist_ok=True)
    MAKERS[name][0](data)
    return data


def knowing(data: DataSet, asked: list[str] | None = None) -> Answerer:
    """An answerer that refuses every question whose image and prompt it does not know."""
    known = {(_digest(file.read_bytes()), prompt): said for file, prompt, said in data.known}

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        picture, text = body["messages"][0]["content"]
        head, content = picture["image_url"]["url"].split(",")
        assert head.startswith("data:image/")
        if asked is not None:
            asked.append(text["text"])
        key = (_digest(base64.b64decode(content)), text["text"])
        if key not in known:
            raise ValueError(f"unknown question: {text['text']}")
        return known[key], 3, "stop"

    return answer


def evaluate(url: str, name: str, data: Path | None, out: Path, *words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    line = ["--url", url, "--benchmark", name, "--out", str(out), *words]
    line += ["--data", str(data)] if data else []
    run(parser.parse_args(line))
    return json.loads((out / "results.json").read_text())


def values(results: dict[str, Any]) -> dict[str, float]:
    return {one["name"]: one["value"] for one in results["scores"]}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
