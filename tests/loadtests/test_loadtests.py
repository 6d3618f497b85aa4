"""The load tests' own parts: traffic, timing, the systems' common weights, and the report."""

import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
import uvicorn
from transformers import AutoTokenizer, Blip2ForConditionalGeneration, LlamaForCausalLM

from loadtests import client as client_module
from loadtests import original, report, systems
from loadtests.blip2 import export
from loadtests.client import Client, Run, Sample, arrivals
from loadtests.traffic import SEEN_IMAGES, WORKLOADS, Messages
from service.model_folder.layout import ModelFolder
from service.tensors.reading import read_checkpoint
from service.vision.weights import load_vision_encoder

ROOT = Path(__file__).parents[2]


def images(messages: Messages) -> list[str]:
    return [
        part["image_url"]["url"]
        for message in messages
        if not isinstance(message["content"], str)
        for part in message["content"]
        if part["type"] == "image_url"
    ]


def test_unique_images_never_repeat_and_seen_ones_do() -> None:
    unique = [images(messages) for messages in islice(WORKLOADS["unique"](0), 50)]
    assert len({image for (image,) in unique}) == 50
    seen = list(islice(WORKLOADS["seen"](0), 50))
    assert len({images(messages)[0] for messages in seen}) == SEEN_IMAGES
    assert all(len(messages) in (3, 5) for messages in seen), "follow-up turns only"
    assert not any(images(messages) for messages in islice(WORKLOADS["text"](0), 5))


async def test_arrivals_come_at_the_asked_rate() -> None:
    count = 0
    async for _ in arrivals(400, 0.5, seed=3):
        count += 1
    source, due, expected = random.Random(3), 0.0, 0
    while (due := due + source.expovariate(400)) < 0.5:
        expected += 1
    assert count == expected
    assert 150 < count < 250


@pytest.fixture(scope="module")
def original_server(tiny_model: Callable[[str], ModelFolder]) -> Iterator[str]:
    """The one-at-a-time server with the tiny model, in a thread."""
    app = original.create_app(tiny_model("minigpt4-vicuna"))
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_original_answers_every_workload(original_server: str, workload: str) -> None:
    client = Client(original_server, "model", tokens=4)
    run = asyncio.run(client.closed(WORKLOADS[workload](0), 2, 0.3))
    assert run.samples
    for sample in run.samples:
        assert sample.ok
        assert 0 < sample.first_token <= sample.seconds
        assert sample.tokens == 4
        assert len(sample.gaps) >= 3, "a chunk a token, whether or not it has text"


def test_the_original_puts_everything_on_its_device(
    tiny_model: Callable[[str], ModelFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(original, "choose_device", lambda _name: torch.device("meta"))
    model = original.Model(tiny_model("minigpt4-vicuna"))
    # A tensor left on the CPU does not go together with the others.
    assert model._embed(next(WORKLOADS["unique"](0))).device.type == "meta"


class Stream:
    """A response's lines, and the times at which they come."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *events: tuple[float, object]) -> None:
        self._events, self._now = events, 0.0
        self.content = self._lines()
        monkeypatch.setattr(client_module, "monotonic", lambda: self._now)

    async def _lines(self) -> AsyncIterator[bytes]:
        for moment, event in self._events:
            self._now = moment
            yield b"data: " + json.dumps(event).encode() + b"\n"
            yield b"\n"
        yield b"data: [DONE]\n"


def chunk(**delta: str) -> dict[str, object]:
    return {"choices": [{"delta": delta}]}


async def test_a_token_without_text_is_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(
        monkeypatch,
        (1.0, chunk(role="assistant", content="")),
        (2.0, chunk(content="")),
        (2.5, chunk(content="a")),
        (4.0, chunk(content="")),
        (5.0, {"choices": [], "usage": {"completion_tokens": 3}}),
    )
    sample = Sample(0.0)
    await client_module._time_stream(stream, sample, 0.5)  # type: ignore[arg-type]
    assert (sample.first_token, sample.gaps, sample.tokens) == (1.5, [0.5, 1.5], 3)


def test_only_vllms_own_server_needs_the_export(
    tiny_model: Callable[[str], ModelFolder], tmp_path: Path
) -> None:
    folder = tiny_model("minigpt4-vicuna")
    for name in ("service", "original", "vllm"):
        assert not list(tmp_path.iterdir())
        systems.command(name, folder, tmp_path, 1)
    (exported,) = tmp_path.iterdir()
    config = exported / "config.json"
    for age, written in ((0, False), (10**6, True)):
        then = config.stat().st_mtime - age
        os.utime(config, (then, then))
        systems.command("vllm", folder, tmp_path, 1)
        assert (config.stat().st_mtime != then) == written, "anew where the model is newer"


def test_what_does_not_start_says_why(
    tiny_model: Callable[[str], ModelFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systems, "command", lambda *_: ["no_such_module"])
    with (
        pytest.raises(RuntimeError, match=r"status 1; .*\n.*No module named no_such_module"),
        systems.started("vllm", tiny_model("minigpt4-vicuna"), tmp_path),
    ):
        pass


def test_a_failed_request_does_not_count_as_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    run = asyncio.run(Client(f"http://127.0.0.1:{port}", "m").closed(WORKLOADS["text"](0), 1, 0))
    assert run.samples == []
    run = asyncio.run(Client(f"http://127.0.0.1:{port}", "m").open(WORKLOADS["text"](0), 100, 0.1))
    assert run.samples
    assert not any(sample.ok for sample in run.samples)


def test_the_blip2_folder_holds_the_same_weights(
    tiny_model: Callable[[str], ModelFolder], tmp_path: Path
) -> None:
    source = tiny_model("minigpt4-vicuna")
    export(source, tmp_path)
    exported = Blip2ForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32).eval()
    # transformers gives the norm after the ViT the blocks' epsilon.
    exported.vision_model.post_layernorm.eps = 1e-5
    encoder = load_vision_encoder(source.vision)
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    with torch.inference_mode():
        patches = exported.vision_model(encoder.normalise(pixels)).last_hidden_state
        queries = exported.qformer(
            query_embeds=exported.query_tokens.expand(2, -1, -1), encoder_hidden_states=patches
        ).last_hidden_state
        torch.testing.assert_close(
            exported.language_projection(queries), encoder(pixels), rtol=1e-4, atol=1e-4
        )


def test_a_vocabulary_may_be_larger_than_its_tokenizer(
    tiny_model: Callable[[str], ModelFolder], tmp_path: Path
) -> None:
    source = copy_with_larger_vocabulary(tiny_model("minigpt4-vicuna"), tmp_path / "model")
    export(source, tmp_path / "blip2")
    config = json.loads((tmp_path / "blip2" / "config.json").read_text())
    rows = config["text_config"]["vocab_size"]
    assert rows == 3072
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "blip2")
    assert tokenizer.convert_tokens_to_ids("<image>") == config["image_token_index"] < rows
    ours, theirs = (
        read_checkpoint(path).tensors for path in (Path(source.language_model), tmp_path / "blip2")
    )
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        torch.testing.assert_close(
            theirs[f"language_model.{name}"].load(), ours[name].load(), rtol=0, atol=0
        )


def copy_with_larger_vocabulary(source: ModelFolder, target: Path) -> ModelFolder:
    shutil.copytree(source.root, target)
    llama = LlamaForCausalLM.from_pretrained(target / "language_model")
    llama.resize_token_embeddings(3 * llama.config.vocab_size, mean_resizing=False)
    llama.save_pretrained(target / "language_model")
    return ModelFolder.open(target)


def record(system: str, workload: str, concurrency: int, seconds: float) -> dict[str, object]:
    sample = Sample(0.0, 200, seconds, seconds / 2, [seconds / 4], tokens=3)
    run = Run(1.0, [sample] * round(1 / seconds))
    return {
        "system": system,
        "workload": workload,
        "concurrency": concurrency,
        "cpu_seconds": 1.0,
        "peak_bytes": 2**20,
        **run.raw(),
    }


def test_the_report_says_what_was_met_and_what_was_missed(tmp_path: Path) -> None:
    speeds = {"service": 0.1, "vllm": 0.05, "original": 1.0}
    for system, seconds in speeds.items():
        for workload in ("unique", "seen"):
            item = record(system, workload, 16, seconds)
            (tmp_path / f"{system}-{workload}-16.json").write_text(json.dumps(item))
    report.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| requests/s over vLLM's BLIP-2, unique, 16 at a time ≥ 1.2 | 0.50 | missed |" in text
    assert "| requests/s over the original's way, unique, 16 ≥ 8 | 10.00 | met |" in text
    assert "| requests/s | 16 | 10.0 | 20.0 | 1.0 |" in text
    assert "| tokens/s | 16 | 30 | 60 | 3 |" in text
    assert "of the turns" not in text, "nobody has measured it"
    assert (tmp_path / "bench.png").stat().st_size > 0


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_locust_accepts_its_file() -> None:
    assert "Person" in run("-m", "locust", "-f", "loadtests/locustfile.py", "--list")
