"""Two API processes in front of one encoder and one engine behave like one."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from loadtests.front_end import write_folder
from service.api.keys_command import add_key
from service.model_folder.layout import ModelFolder
from tests.fuzz.disconnects import GAUGES, disconnect_randomly
from tests.pictures import encoded, picture, picture_uri
from tests.server import ServerProcess

PROCESSES = ["--api-server-count", "2"]
CONNECTIONS = 16
"""So many connections reach both processes in all but one of 2^15 cases."""

LONG = {
    "messages": [{"role": "user", "content": "Hello."}],
    "max_tokens": 200,
    "ignore_eos": True,
    "stream": True,
}


class StubServer(ServerProcess):
    """The service with stub models: an answer of 200 tokens takes 1.6 s and no processor."""

    def command(self) -> list[str]:
        stub = "loadtests.stubs.engine.StubExecutor"
        words = ["-m", "loadtests.stubs.service", "serve", "--model", str(self.model)]
        return [*words, "--distributed-executor-backend", stub, "--page", "false"]


@pytest.fixture(scope="module")
def stub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("stub")).root


@pytest.fixture
def stub_server(stub_folder: Path) -> Iterator[ServerProcess]:
    process = StubServer(stub_folder, [*PROCESSES])
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    file.write_text("")
    return file


@pytest.fixture(scope="module")
def pair(
    tiny_model: Callable[[str], ModelFolder], keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A service of two API processes with real models and few places in the queue."""
    process = ServerProcess(
        tiny_model("minigpt4-vicuna").root,
        [*PROCESSES, "--dtype", "float32", "--max-num-queued-reqs", "6"],
        {
            "MINIGPT4_API_KEYS_FILE": str(keys),
            "MINIGPT4_FILES_DIR": str(tmp_path_factory.mktemp("files")),
            "MINIGPT4_IMAGES_PER_PROMPT": "4",
        },
    )
    try:
        yield process.start()
    finally:
        process.stop()


@pytest.fixture(scope="module")
def headers(pair: ServerProcess, keys: Path) -> dict[str, str]:
    """A key that was added while the service runs."""
    headers = {"Authorization": f"Bearer {add_key('alice', keys)}"}
    deadline = time.monotonic() + 10
    while list_statuses(pair, headers) != {200}:
        assert time.monotonic() < deadline, "an API process does not know the new key"
        time.sleep(0.2)
    return headers


def list_statuses(server: ServerProcess, headers: dict[str, str] | None = None) -> set[int]:
    """Ask for the models on so many connections that all processes answer."""

    def ask(_: int) -> int:
        return httpx.get(f"{server.url}/v1/models", headers=headers).status_code

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return set(pool.map(ask, range(CONNECTIONS)))


def ask_about(url: str, **options: Any) -> dict[str, Any]:
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "What is it?"},
    ]
    return {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 8,
        "temperature": 0,
        **options,
    }


def post_on_connections(
    url: str, bodies: list[dict[str, Any]], headers: dict[str, str] | None = None
) -> list[httpx.Response]:
    """Send each body on a connection of its own, all at the same time."""

    def post(body: dict[str, Any]) -> httpx.Response:
        return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=120)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(post, bodies))


def roles(server: ServerProcess) -> dict[str, list[psutil.Process]]:
    """The processes of a service by role."""
    found: dict[str, list[psutil.Process]] = {
        "minigpt4-api": [],
        "minigpt4-vision": [],
        "EngineCore": [],
    }
    for child in psutil.Process(server.pid).children(recursive=True):
        title = " ".join([child.name(), *child.cmdline()[:1]])
        for role, processes in found.items():
            if role in title:
                processes.append(child)
    return found


def test_a_new_key_reaches_every_process(pair: ServerProcess, headers: dict[str, str]) -> None:
    assert list_statuses(pair, headers) == {200}
    assert list_statuses(pair) == {401}


def test_answers_are_those_of_one_process(
    pair: ServerProcess, server: ServerProcess, headers: dict[str, str]
) -> None:
    body = ask_about(picture_uri("green"))
    expected = post_on_connections(server.url, [body])[0].json()["choices"][0]["message"]
    for _ in range(4):
        for response in post_on_connections(pair.url, [body] * 4, headers):
            assert response.status_code == 200, response.text
            assert response.json()["choices"][0]["message"] == expected


def test_an_image_is_encoded_once_for_all_processes(
    pair: ServerProcess, headers: dict[str, str]
) -> None:
    def count_encoded() -> float:
        return pair.metric("minigpt4_encoder_images_total", outcome="encoded")

    before = count_encoded()
    body = ask_about(picture_uri("#12ab34"), max_tokens=1)
    for _ in range(4):
        responses = post_on_connections(pair.url, [body] * 4, headers)
        assert {response.status_code for response in responses} == {200}
    assert count_encoded() == before + 1


def test_errors_about_images_are_those_of_one_process(
    pair: ServerProcess, server: ServerProcess, headers: dict[str, str]
) -> None:
    body = ask_about("data:image/png;base64,aGVsbG8=")
    expected = post_on_connections(server.url, [body])[0]
    assert expected.status_code == 400
    for response in post_on_connections(pair.url, [body] * 4, headers):
        assert response.status_code == 400
        assert response.json() == expected.json()


def test_the_queue_is_as_long_as_with_one_process(
    pair: ServerProcess, headers: dict[str, str]
) -> None:
    url = f"{pair.url}/v1/chat/completions"
    body = {**LONG, "max_tokens": 1000}
    with ExitStack() as stack:
        streams = [
            stack.enter_context(httpx.stream("POST", url, json=body, headers=headers, timeout=60))
            for _ in range(6)
        ]
        assert [stream.status_code for stream in streams] == [200] * 6
        refused = post_on_connections(pair.url, [body] * 8, headers)
        assert {response.status_code for response in refused} == {503}
        assert all(response.headers["retry-after"] for response in refused)


def test_metrics_are_summed(pair: ServerProcess, headers: dict[str, str]) -> None:
    def count() -> float:
        return pair.metric("minigpt4_requests_total", route="/v1/models", status="200")

    body = {**LONG, "max_tokens": 1, "stream": False}
    assert post_on_connections(pair.url, [body], headers)[0].status_code == 200
    before = count()
    for _ in range(CONNECTIONS):
        httpx.get(f"{pair.url}/v1/models", headers=headers)
    assert {count() for _ in range(8)} == {before + CONNECTIONS}
    assert pair.metric("minigpt4_state", minigpt4_state="ready") == 1
    assert pair.metric("minigpt4_build_info") == 1
    assert pair.metric("vllm:generation_tokens_total") > 0
    assert pair.metric("minigpt4_requests_in_flight") == 0


def test_uploads_are_known_to_every_process(pair: ServerProcess, headers: dict[str, str]) -> None:
    client = pair.openai(api_key=headers["Authorization"].removeprefix("Bearer "))
    uploaded = client.files.create(file=("a.png", encoded(picture("blue"))), purpose="vision")
    for _ in range(CONNECTIONS):
        found = httpx.get(f"{pair.url}/v1/files/{uploaded.id}", headers=headers)
        assert found.status_code == 200


def test_a_thousand_disconnects_leave_nothing_behind(stub_folder: Path) -> None:
    process = StubServer(stub_folder, [*PROCESSES])
    try:
        process.start()
        asyncio.run(disconnect_randomly(process.url, 1000, seed=1))
        deadline = time.monotonic() + 30
        gauges = ("minigpt4_requests_in_flight", "minigpt4_encoder_queue_length", *GAUGES)
        while any(process.metric(gauge) for gauge in gauges):
            assert time.monotonic() < deadline, [process.metric(gauge) for gauge in gauges]
            time.sleep(0.2)
        bodies = [ask_about(picture_uri(f"#0000{n:02x}")) for n in range(CONNECTIONS)]
        responses = post_on_connections(process.url, bodies)
        assert {response.status_code for response in responses} == {200}
    finally:
        process.stop()
    assert not any("Traceback" in line for line in process.log)


def test_a_drain_loses_no_stream_of_any_process(stub_server: ServerProcess) -> None:
    stub_server.start()
    apis = roles(stub_server)["minigpt4-api"]
    assert len(apis) == 2
    url = f"{stub_server.url}/v1/chat/completions"
    ends: list[str] = []
    begun = threading.Barrier(CONNECTIONS + 1)

    def stream(_: int) -> None:
        with httpx.stream("POST", url, json=LONG, timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            begun.wait(30)
            ends.append([line for line in lines if line][-1])

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        running = [pool.submit(stream, number) for number in range(CONNECTIONS)]
        begun.wait(30)
        stub_server.signal(signal.SIGTERM)
        stub_server.wait_for("Draining", 20)
        ready = {httpx.get(f"{stub_server.url}/ready").status_code for _ in range(CONNECTIONS)}
        assert ready == {503}
        assert httpx.post(url, json=LONG).status_code == 503
        for future in running:
            future.result(60)
    assert ends == ["data: [DONE]"] * CONNECTIONS
    assert any(f"Draining: {CONNECTIONS} requests" in line for line in stub_server.log)
    assert stub_server.wait(30) == 0
    assert not any("Traceback" in line for line in stub_server.log)


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("minigpt4-api", "API process 0 has died"),
        ("minigpt4-vision", "The vision encoder has died"),
        ("EngineCore", "The engine has died"),
    ],
)
def test_a_killed_process_ends_the_service(
    role: str, message: str, stub_server: ServerProcess
) -> None:
    stub_server.start()
    everything = psutil.Process(stub_server.pid).children(recursive=True)
    url = f"{stub_server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=LONG, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        roles(stub_server)[role][0].send_signal(signal.SIGKILL)
        assert stub_server.wait(5) == 1
        with suppress(httpx.HTTPError):
            list(lines)
    assert any(message in line for line in stub_server.log), "".join(stub_server.log)
    _, alive = psutil.wait_procs(everything, timeout=5)
    assert not alive


def test_nothing_is_left_when_the_supervisor_is_killed(stub_server: ServerProcess) -> None:
    stub_server.start()
    everything = psutil.Process(stub_server.pid).children(recursive=True)
    stub_server.signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(everything, timeout=10)
    assert not alive


def test_a_hung_encoder_is_unhealthy_and_then_ends_the_service(
    stub_server: ServerProcess,
) -> None:
    stub_server.environment |= {
        "MINIGPT4_HANG_UNHEALTHY_SECONDS": "3",
        "MINIGPT4_HANG_EXIT_SECONDS": "8",
    }
    stub_server.start()
    assert httpx.get(f"{stub_server.url}/health").status_code == 200
    roles(stub_server)["minigpt4-vision"][0].suspend()
    deadline = time.monotonic() + 20
    while httpx.get(f"{stub_server.url}/health").status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert stub_server.wait(40) == 1
    assert any("vision encoder makes no progress" in line for line in stub_server.log)
