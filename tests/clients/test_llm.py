"""The ``llm`` command with a model from ``extra-openai-models.yaml``."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.clients.example import ANSWER, COLOURS, MODEL, PICTURE, QUESTION

Llm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def llm(url: str, tmp_path: Path, interpreter: Callable[[str], Path]) -> Llm:
    """Runs the command with a user folder of its own."""
    entry = {
        "model_id": "minigpt4",
        "model_name": MODEL,
        "api_base": f"{url}/v1",
        "vision": True,
        "supports_schema": True,
    }
    models = [entry, {**entry, "model_id": "absent", "model_name": "absent"}]
    (tmp_path / "extra-openai-models.yaml").write_text(yaml.safe_dump(models))

    command = interpreter("openai-3").with_name("llm")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LLM_USER_PATH": str(tmp_path)}
        return subprocess.run(
            [command, *words], env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize("flags", [(), ("--no-stream",)], ids=str)
def test_prompt_with_attachment(llm: Llm, flags: tuple[str, ...]) -> None:
    done = llm("-m", "minigpt4", QUESTION, "-a", str(PICTURE), *flags)
    assert done.returncode == 0, done.stderr
    assert ANSWER in done.stdout


def test_schema(llm: Llm) -> None:
    schema = {
        "type": "object",
        "properties": {"background": {"enum": list(COLOURS)}},
        "required": ["background"],
    }
    done = llm("-m", "minigpt4", QUESTION, "-a", str(PICTURE), "--schema", json.dumps(schema))
    assert json.loads(done.stdout) == {"background": ANSWER}, done.stderr


def test_a_model_that_is_absent(llm: Llm) -> None:
    done = llm("-m", "absent", "Hello")
    assert done.returncode != 0
    assert "does not exist" in done.stderr
