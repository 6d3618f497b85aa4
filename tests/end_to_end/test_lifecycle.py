"""The start and the stop of the service: the answers to probes and clients, and the exit status."""

import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from loadtests.server_process import free_port
from service.model_folder.layout import ModelFolder
from tests.pictures import picture_uri
from tests.server import ServerProcess

# Several answers, so that they are still in progress when the signal arrives.
LONG_ANSWER = {
    "messages": [{"role": "user", "content": "Hello."}],
    "n": 8,
    "max_tokens": 1900,
    "ignore_eos": True,
    "stream": True,
}

HANG_LIMITS = {"MINIGPT4_HANG_UNHEALTHY_SECONDS": "4", "MINIGPT4_HANG_EXIT_SECONDS": "12"}


@pytest.fixture
def own_server(
    tiny_model: Callable[[str], ModelFolder], server: ServerProcess
) -> Iterator[ServerProcess]:
    """A service that a test may stop or break. The shared service idles meanwhile."""
    process = ServerProcess(
        tiny_model("minigpt4-vicuna").root, ["--dtype", "float32", "--page", "false"]
    )
    try:
        yield process
    finally:
        process.stop()


def test_a_containers_first_process_can_be_stopped_from_the_start(
    tiny_model: Callable[[str], ModelFolder],
) -> None:
    """The kernel does not deliver signals to process 1 unless it handles them."""
    serve = f"{sys.executable} -m service serve --port {free_port()} --model"
    command = f"trap '' TERM; exec {serve} {tiny_model('minigpt4-vicuna').root}"
    with subprocess.Popen(["sh", "-c", command], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        assert process.stderr is not None
        assert "Loading" not in process.stderr.read()


def test_starting_draining_and_the_end(own_server: ServerProcess) -> None:
    own_server.spawn()
    own_server.wait_for("Loading minigpt4-vicuna", 120)
    for path in ("/ready", "/health", "/v1/models"):
        starting = httpx.get(own_server.url + path)
        assert starting.status_code == 503
        assert "starting" in starting.text
    assert starting.headers["retry-after"]

    own_server.wait_for("Ready: ", 240)
    assert httpx.get(f"{own_server.url}/ready").status_code == 200
    assert httpx.get(own_server.url).status_code == 404, (
        "there is a page although it was turned off"
    )

    url = f"{own_server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=LONG_ANSWER, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        own_server.signal(signal.SIGTERM)
        own_server.wait_for("Draining", 20)
        assert any("Draining: 1 requests" in line for line in own_server.log)
        assert httpx.get(f"{own_server.url}/ready").json() == {"status": "draining"}
        refused = httpx.post(url, json=LONG_ANSWER)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["error"]["type"] == "ServiceUnavailableError"
        assert httpx.get(f"{own_server.url}/health").status_code == 200
        rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]", "the running stream was cut"
    assert sum('"finish_reason":"length"' in line for line in rest) == LONG_ANSWER["n"]
    health = set()
    with suppress(httpx.HTTPError):
        while True:
            health.add(httpx.get(f"{own_server.url}/health").status_code)
    assert health <= {200, 503}, "a request failed during the end"
    assert own_server.wait(20) == 0
    assert not any("Traceback" in line for line in own_server.log)


def test_nothing_is_left_when_it_is_stopped_while_the_engine_starts(
    own_server: ServerProcess,
) -> None:
    """The engine's process imports libraries for seconds.

    Meanwhile it does not check its parent.
    """
    own_server.spawn()
    own_server.wait_for("Loading minigpt4-vicuna", 120)
    children: list[psutil.Process] = []
    while not any("spawn_main" in " ".join(child.cmdline()) for child in children):
        time.sleep(0.05)
        children = psutil.Process(own_server.pid).children(recursive=True)
    own_server.signal(signal.SIGTERM)
    assert own_server.wait(5) == 1
    _, alive = psutil.wait_procs(children, timeout=2)
    assert not alive


def test_a_dead_engine_ends_the_service(own_server: ServerProcess) -> None:
    own_server.start()
    url = f"{own_server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=LONG_ANSWER, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        for child in psutil.Process(own_server.pid).children(recursive=True):
            if "VLLM" in child.name() or "VLLM" in "".join(child.cmdline()[:1]):
                child.kill()
        rest = ""
        with suppress(httpx.HTTPError):
            rest = "\n".join(lines)
    assert "error" in rest or "[DONE]" not in rest
    assert "EngineCore" not in rest
    assert own_server.wait(30) == 1
    assert any("engine has died" in line for line in own_server.log)


def wait_until_unhealthy(url: str) -> None:
    deadline = time.monotonic() + 30
    while httpx.get(f"{url}/health").status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def engine_processes(server: ServerProcess) -> list[psutil.Process]:
    assert server.process is not None
    children = psutil.Process(server.process.pid).children(recursive=True)
    return [child for child in children if "VLLM" in "".join(child.cmdline()[:1])]


def test_a_hung_engine_is_unhealthy_and_then_ends_the_service(own_server: ServerProcess) -> None:
    own_server.environment |= HANG_LIMITS
    own_server.start()
    engines = engine_processes(own_server)
    assert engines
    assert httpx.get(f"{own_server.url}/health").status_code == 200
    for engine in engines:
        engine.suspend()
    wait_until_unhealthy(own_server.url)
    assert httpx.get(f"{own_server.url}/ready").status_code == 503
    assert own_server.wait(60) == 1
    assert any("engine makes no progress" in line for line in own_server.log)
    psutil.wait_procs(engines, timeout=10)
    assert not any(engine.is_running() for engine in engines)


@dataclass
class OtherEncoder(ServerProcess):
    """A service whose encoder starts, and then runs the statement ``encode`` for each batch."""

    encode: str = "pass"

    def command(self) -> list[str]:
        program = f"""
import threading
from service.cli import main
from service.vision.encoder import TorchEncoder

def begin(self, images):
    {self.encode}

TorchEncoder.begin = begin
main()
"""
        return ["-c", program, *super().command()[2:]]


@pytest.fixture
def with_encoder(
    tiny_model: Callable[[str], ModelFolder],
) -> Iterator[Callable[..., OtherEncoder]]:
    """Start a service whose encoder runs the given statement."""
    started: list[OtherEncoder] = []

    def start(encode: str, **environment: str) -> OtherEncoder:
        model = tiny_model("minigpt4-vicuna").root
        started.append(OtherEncoder(model, ["--page", "false"], environment, encode=encode))
        started[0].start()
        return started[0]

    try:
        yield start
    finally:
        for process in started:
            process.stop()


def test_a_dead_encoder_ends_the_service(with_encoder: Callable[..., OtherEncoder]) -> None:
    process = with_encoder(
        'raise RuntimeError("CUDA error: an illegal memory access was encountered")'
    )
    with suppress(httpx.HTTPError):
        while process.process and process.process.poll() is None:
            assert ask_about_a_new_picture(process.url) in (500, 503)
    assert process.wait(30) == 1
    log = "".join(process.log)
    assert "The vision encoder has died" in log
    assert "illegal memory access" in log


def test_a_hung_encoder_is_unhealthy_and_then_ends_the_service(
    with_encoder: Callable[..., OtherEncoder],
) -> None:
    """The encoder is a thread, which no signal stops: it waits for an event that never comes."""
    process = with_encoder("threading.Event().wait()", **HANG_LIMITS)
    assert httpx.get(f"{process.url}/health").status_code == 200
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask_about_a_new_picture, process.url)
        wait_until_unhealthy(process.url)
        assert httpx.get(f"{process.url}/ready").status_code == 503
        assert process.wait(60) == 1
        with suppress(httpx.HTTPError):  # the process may end before it has answered
            assert waiting.result() >= 500
    assert any("vision encoder makes no progress" in line for line in process.log)


def ask_about_a_new_picture(url: str) -> int:
    """The status of the answer."""
    color = "#" + secrets.token_hex(3)
    image = {"type": "image_url", "image_url": {"url": picture_uri(color)}}
    body = {"messages": [{"role": "user", "content": [image]}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).status_code


@pytest.mark.parametrize("end", ["two SIGTERMs", "SIGKILL"])
def test_nothing_is_left_when_it_ends_at_once(own_server: ServerProcess, end: str) -> None:
    own_server.start()
    engine = psutil.Process(own_server.pid).children(recursive=True)
    assert len(engine) > 1
    url = f"{own_server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=LONG_ANSWER, timeout=60) as stream:
        next(stream.iter_lines())
        if end == "SIGKILL":
            own_server.signal(signal.SIGKILL)
        else:
            own_server.signal(signal.SIGTERM)
            own_server.wait_for("Draining", 20)
            own_server.signal(signal.SIGTERM)
        assert own_server.wait(5) != 0
    _, alive = psutil.wait_procs(engine, timeout=10)
    assert not alive


def run_serve(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run ``serve`` with flags that must fail at once."""
    command = [sys.executable, "-m", "service", "serve", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def assert_one_line(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert_last_line(result, *words)
    assert "Traceback" not in result.stderr


def assert_last_line(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("minigpt4-service: ")
    assert all(word in last for word in words), last


def test_a_port_in_use_is_one_clear_line(tiny_model: Callable[[str], ModelFolder]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        folder = str(tiny_model("minigpt4-vicuna").root)
        assert_one_line(run_serve("--model", folder, "--port", port), port, "in use")


def test_a_certificate_that_is_not_there_is_one_clear_line(
    tiny_model: Callable[[str], ModelFolder],
) -> None:
    folder = str(tiny_model("minigpt4-vicuna").root)
    flags = ["--port", str(free_port()), "--ssl-certfile", "/nonexistent.pem"]
    assert_one_line(run_serve("--model", folder, *flags), "TLS", "/nonexistent.pem")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model", "/nonexistent"], ["/nonexistent", "not a folder"]),
        (["--encoder-queue", "many"], ["encoder_queue"]),
        (["--settings", "/nonexistent.toml"], ["/nonexistent.toml"]),
    ],
)
def test_wrong_settings_are_one_clear_line(flags: list[str], words: list[str]) -> None:
    assert_one_line(run_serve(*flags), *words)


def test_an_engine_that_cannot_start_says_why_in_the_last_line(
    tiny_model: Callable[[str], ModelFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "100000")
    folder = str(tiny_model("minigpt4-vicuna").root)
    result = run_serve("--model", folder, "--port", str(free_port()))
    assert_last_line(result, "did not start", "memory", "100000")


def test_a_folder_that_is_not_a_model_is_one_clear_line(tmp_path: Path) -> None:
    assert_one_line(run_serve("--model", str(tmp_path)), "model_index.json", "init-model")
