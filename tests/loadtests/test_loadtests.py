"""The load tests' own parts: traffic, timing, the systems' common weights, and the report."""

import asyncio
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
import uvicorn
from transformers import Blip2ForConditionalGeneration

from loadtests import gpu, original, report
from loadtests.blip2 import export
from loadtests.client import Client, Run, Sample, arrivals
from loadtests.traffic import SEEN_IMAGES, WORKLOADS, Messages
from service.model_folder.layout import ModelFolder
from service.vision.config import VisionConfig
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


def test_what_does_not_answer_is_no_answer() -> None:
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
        patches = exported.vision_model(encoder._normalise(pixels)).last_hidden_state
        queries = exported.qformer(
            query_embeds=exported.query_tokens.expand(2, -1, -1), encoder_hidden_states=patches
        ).last_hidden_state
        torch.testing.assert_close(
            exported.language_projection(queries), encoder(pixels), rtol=1e-4, atol=1e-4
        )


def record(system: str, workload: str, concurrency: int, seconds: float) -> dict[str, object]:
    run = Run(1.0, [Sample(0.0, 200, seconds, seconds / 2, [seconds / 4])] * round(1 / seconds))
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
    assert (tmp_path / "bench.png").stat().st_size > 0


def test_the_published_vit_costs_what_the_paper_trail_says() -> None:
    assert gpu.flops(VisionConfig()) == pytest.approx(0.53e12, rel=0.02)


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_gpu_script_goes_its_ways(tmp_path: Path) -> None:
    run("-m", "loadtests.gpu", "--dry-run", "--out", str(tmp_path))
    rows = json.loads((tmp_path / "encoder.json").read_text())["rows"]
    assert [row["batch"] for row in rows] == [1, 2]
    assert all(row["images_per_second"] > 0 for row in rows)


def test_locust_accepts_its_file() -> None:
    assert "Person" in run("-m", "locust", "-f", "loadtests/locustfile.py", "--list")
