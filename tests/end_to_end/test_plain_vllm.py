"""The plugin under vLLM's own server, which knows nothing of this service but its entry point."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.model_folder.layout import ModelFolder
from service.serve.vllm_command import vllm_command
from tests.end_to_end.reference import Reference
from tests.end_to_end.test_answers import CONVERSATIONS, greedy
from tests.server import ServerProcess


class PlainVllm(ServerProcess):
    """As ``vllm-command`` says."""

    def command(self) -> list[str]:
        python, *line = vllm_command(ModelFolder.open(self.model))
        assert python == sys.executable
        return line


@pytest.fixture(params=["minigpt4", "http"])
def plain_vllm(
    request: pytest.FixtureRequest, tiny_model: Callable[[str], ModelFolder]
) -> Iterator[ServerProcess]:
    """With our media connector, and with vLLM's own."""
    folder: Path = tiny_model("minigpt4-vicuna").root
    flags = ["--dtype", "float32", "--enforce-eager", "--served-model-name", "minigpt4-vicuna"]
    environment = {
        "VLLM_MEDIA_CONNECTOR": request.param,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "MINIGPT4_ENCODER_DTYPE": "float32",
    }
    process = PlainVllm(folder, flags, environment)
    try:
        process.spawn()
        process.wait_for("Application startup complete", 240)
        yield process
    finally:
        process.stop()


def test_tokens_equal_the_reference(plain_vllm: ServerProcess) -> None:
    reference = Reference(ModelFolder.open(plain_vllm.model))
    client = plain_vllm.openai()
    for name in ("one image", "two images in a turn", "text only"):
        turns = CONVERSATIONS[name]
        assert greedy(client, turns) == reference.answer(turns, 24), name
