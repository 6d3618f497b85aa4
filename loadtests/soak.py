"""A soak test: saturate a service, and compare its answers with those without load.

``python -m loadtests.soak --minutes 15 --report soak`` starts the service, asks each question alone
to learn its right answer, loads the service with text, images, streams, disconnects and bad input,
and writes ``soak.json`` and ``soak.md``. A second run with the same report continues an interrupted
one.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import socket
import statistics
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from loadtests.figures import picture
from loadtests.memory import tree_bytes

CLIENTS = 32
QUESTIONS = 120
"""Number of different questions. Every second question has its own picture."""

UNDER_WAY = 12
"""Limits below the number of clients, so that the service is always full and refuses some requests."""

FLAGS = [
    *("--dtype", "float32", "--encoder-dtype", "float32"),
    *("--max-num-seqs", str(UNDER_WAY), "--max-num-queued-reqs", str(UNDER_WAY)),
    # A cache for a few images only, so that the encoder always has work.
    *("--embedding-cache-mb", "1", "--mm-processor-cache-gb", "0.05"),
]
SAVE_SECONDS = 10.0
INTENDED = frozenset({503})
TEXTS = (
    "What is this?",
    "Describe the picture in detail.",
    "Which colours do you see?",
    "How many shapes are there?",
    "Tell me a story.",
    "What is in the middle?",
)
BAD: list[tuple[dict[str, Any], int]] = [
    ({"messages": "x"}, 400),
    ({"messages": [{"role": "user", "content": "Hi."}], "temperature": -1}, 400),
    ({"messages": [{"role": "user", "content": "Hi."}], "model": "nobody"}, 404),
    ({"messages": [{"role": "user", "content": "a b c d " * 3000}]}, 400),
    ({"messages": [{"role": "user", "content": [{"type": "unheard-of"}]}]}, 400),
]
BAD_IMAGES = (
    "data:image/png;base64,AAAA",
    "file:///etc/passwd",
    "http://127.0.0.1/a.png",
    "file-x",
)


@dataclass
class Soak:
    """The state of the test, which is saved as JSON.

    Attributes:
        expected: The right answer of each question.
        seconds: How long the load has run.
        results: Number of requests by kind and result.
        wrong: Answers that differ from the right ones.
        unintended: All other unexpected results.
        memory: Pairs of seconds and the resident bytes of the service's processes.
        latencies: Seconds until answers were complete.
        held: Resources that the engine still held at the end.
    """

    expected: list[str] = field(default_factory=list)
    seconds: float = 0.0
    results: Counter[str] = field(default_factory=Counter)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    unintended: list[str] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    held: dict[str, float] = field(default_factory=dict)
    runs: int = 0

    @classmethod
    def load(cls, file: Path) -> "Soak":
        """Load the state of an earlier run, or make an empty one."""
        if not file.exists():
            return cls()
        saved = json.loads(file.read_text())
        return cls(**{**saved, "results": Counter(saved["results"])})

    def save(self, file: Path) -> None:
        """Save the state atomically."""
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(vars(self)))
        unfinished.replace(file)


@dataclass(frozen=True)
class Service:
    """A running service: its address, and its process, for measuring memory."""

    url: str
    pid: int


@asynccontextmanager
async def service(log: Path, flags: list[str]) -> AsyncIterator[Service]:
    """Start the service; at the end, stop it as an orchestrator does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), *FLAGS, *flags]
    environment = {**os.environ, "MINIGPT4_FILES_DIR": str(log.with_suffix(".files"))}
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env=environment
        )
    try:
        while not await _is_ready(url := f"http://127.0.0.1:{port}"):
            if process.returncode is not None:
                raise RuntimeError(f"the service ended with status {process.returncode}: see {log}")
            await asyncio.sleep(0.2)
        yield Service(url, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _is_ready(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        with suppress(httpx.TransportError):
            return (await client.get(f"{url}/ready")).status_code == 200
    return False


def question(number: int, image: str | None = None) -> dict[str, Any]:
    """Make the body of question ``number``; ``image`` replaces the data of its picture."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": f"{TEXTS[number % 6]} ({number})"}]
    if number % 2:
        url = image or picture(number)
        parts.insert(0, {"type": "image_url", "image_url": {"url": url}})
    return {
        "messages": [{"role": "user", "content": parts}],
        "temperature": 0,
        "max_tokens": 16 + number % 4 * 16,
        "ignore_eos": number % 3 == 0,
    }


class Load:
    """Clients that know the right answers."""

    def __init__(self, soak: Soak, file: Path, target: Service, client: httpx.AsyncClient) -> None:
        self._soak = soak
        self._file = file
        self._target = target
        self._client = client
        self._files: dict[int, str] = {}

    async def learn(self) -> None:
        """Ask each question alone, twice.

        The answers must be equal, also to those of an earlier run.
        """
        for _ in range(2):
            answers = [await self._ask(question(number)) for number in range(QUESTIONS)]
            if self._soak.expected and answers != self._soak.expected:
                raise RuntimeError(
                    "Without load, two answers to a question differ: nothing to compare with."
                )
            self._soak.expected = answers
        for number in range(1, QUESTIONS, 8):
            self._files[number] = await self._upload(number)

    async def run(self, seconds: float) -> None:
        """Keep every client busy for ``seconds``."""
        begin, before = monotonic(), self._soak.seconds
        end = begin + max(0.0, seconds)
        async with asyncio.TaskGroup() as clients:
            for seed in range(CLIENTS):
                clients.create_task(self._be_busy(seed, end))
            while monotonic() < end:
                await asyncio.sleep(min(SAVE_SECONDS, max(0.0, end - monotonic())))
                self._soak.seconds = before + monotonic() - begin
                self._soak.memory.append((self._soak.seconds, tree_bytes(self._target.pid)))
                self._soak.save(self._file)

    async def _be_busy(self, seed: int, end: float) -> None:
        generator = random.Random(seed * 1000 + self._soak.runs)
        kinds = [self._whole, self._stream, self._by_file, self._go_away, self._bad]
        while monotonic() < end:
            act = generator.choices(kinds, (45, 30, 5, 10, 10))[0]
            kind = act.__name__.strip("_")
            try:
                status = await act(generator)
            except httpx.HTTPError as error:
                status = f"failed: {error!r}"
            self._soak.results[f"{kind} {status}"] += 1
            if status == "503":
                await asyncio.sleep(generator.uniform(0.05, 0.5))

    async def _whole(self, generator: random.Random) -> str:
        number = generator.randrange(QUESTIONS)
        begin = monotonic()
        answer = await self._post(question(number))
        if answer.status_code != 200:
            return self._refused(answer)
        self._soak.latencies.append(round(monotonic() - begin, 3))
        return self._compare(number, answer.json()["choices"][0]["message"]["content"])

    async def _by_file(self, generator: random.Random) -> str:
        number = generator.choice(list(self._files))
        answer = await self._post(question(number, self._files[number]))
        if answer.status_code != 200:
            return self._refused(answer)
        return self._compare(number, answer.json()["choices"][0]["message"]["content"])

    async def _stream(self, generator: random.Random) -> str:
        number = generator.randrange(QUESTIONS)
        body = {**question(number), "stream": True}
        async with self._client.stream("POST", "/v1/chat/completions", json=body) as answer:
            if answer.status_code != 200:
                await answer.aread()
                return self._refused(answer)
            return self._compare(number, await _text_of(answer))

    async def _go_away(self, generator: random.Random) -> str:
        body = {**question(generator.randrange(QUESTIONS)), "stream": generator.random() < 0.5}
        with suppress(TimeoutError):
            async with asyncio.timeout(generator.uniform(0, 1)):
                answer = await self._post({**body, "max_tokens": 500, "ignore_eos": True})
                return self._refused(answer) if answer.status_code != 200 else "200"
        return "gone"

    async def _bad(self, generator: random.Random) -> str:
        body, status = generator.choice(BAD)
        if generator.random() < 0.5:
            body, status = question(1, generator.choice(BAD_IMAGES)), 400
        answer = await self._post(body)
        if answer.status_code != status:
            return self._refused(answer)
        return str(status)

    def _compare(self, number: int, text: str) -> str:
        if text == self._soak.expected[number]:
            return "right"
        self._soak.wrong.append(
            {"question": number, "answer": text, "expected": self._soak.expected[number]}
        )
        return "wrong"

    def _refused(self, answer: httpx.Response) -> str:
        """Count a response other than 200.

        It is expected if the service may refuse requests under load.
        """
        if answer.status_code not in INTENDED or "retry-after" not in answer.headers:
            self._soak.unintended.append(f"{answer.status_code}: {answer.text[:300]}")
        return str(answer.status_code)

    async def _ask(self, body: dict[str, Any]) -> str:
        answer = await self._post(body)
        answer.raise_for_status()
        return str(answer.json()["choices"][0]["message"]["content"])

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        return await self._client.post("/v1/chat/completions", json=body)

    async def _upload(self, number: int) -> str:
        data = base64.b64decode(picture(number).partition(",")[2])
        answer = await self._client.post(
            "/v1/files", files={"file": ("a.png", data)}, data={"purpose": "vision"}
        )
        answer.raise_for_status()
        return str(answer.json()["id"])


async def _text_of(answer: httpx.Response) -> str:
    """Join the text of a stream's events."""
    text = ""
    async for line in answer.aiter_lines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:]).get("choices", []):
                text += choice["delta"].get("content") or ""
    return text


async def held(client: httpx.AsyncClient) -> dict[str, float]:
    """Return what the engine still holds for requests after all of them have ended."""
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
    found: dict[str, float] = {}
    for _ in range(100):
        found = dict.fromkeys(names, 0.0)
        for line in (await client.get("/metrics")).text.splitlines():
            series, _, value = line.rpartition(" ")
            if (name := series.partition("{")[0]) in found:
                found[name] += float(value)
        if not any(found.values()):
            break
        await asyncio.sleep(0.1)
    return found


def report(soak: Soak) -> str:
    """Write the figures as Markdown."""
    total = soak.results.total()
    compared = sum(
        count for name, count in soak.results.items() if name.endswith(("right", "wrong"))
    )
    refused = sum(count for name, count in soak.results.items() if name.endswith(" 503"))
    failed = sum(count for name, count in soak.results.items() if "failed" in name)
    rows = {
        "time under load": f"{soak.seconds / 60:.1f} min in {soak.runs} run(s)",
        "clients, requests under way at most": f"{CLIENTS}, {UNDER_WAY}",
        "requests": f"{total} ({total / max(soak.seconds, 1):.1f} a second)",
        "answers compared": str(compared),
        "wrong answers": str(len(soak.wrong)),
        "intended 503 with Retry-After": str(refused),
        "other unintended answers": str(len(soak.unintended)),
        "connections that broke": str(failed),
        "whole answers, median and 99th percentile": _latency(soak.latencies),
        **_memory(soak.memory),
        "held at the end": ", ".join(f"{name} {value:g}" for name, value in soak.held.items()),
    }
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())]
    kinds = ["", "| kind and outcome | requests |", "| --- | --- |"]
    kinds += [f"| {name} | {count} |" for name, count in sorted(soak.results.items())]
    return "\n".join([*lines, *kinds, ""])


def _latency(latencies: list[float]) -> str:
    if len(latencies) < 2:
        return "-"
    return (
        f"{statistics.median(latencies):.2f} s, {statistics.quantiles(latencies, n=100)[-1]:.2f} s"
    )


def _memory(samples: list[tuple[float, int]]) -> dict[str, str]:
    """Describe memory over time: flat if the last part's median is not above the second part's."""
    sizes = [size / 2**20 for _, size in samples]
    if len(sizes) < 10:
        return {}
    fifth = len(sizes) // 5
    parts = [statistics.median(sizes[index * fifth : (index + 1) * fifth]) for index in range(5)]
    return {
        "memory of all processes, median of each fifth": ", ".join(f"{mb:.0f}" for mb in parts)
        + " MiB",
        "memory, last fifth against second": f"{parts[4] - parts[1]:+.0f} MiB",
    }


async def main() -> None:
    """Run the test and write the report; exit with 1 if a result was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=15, help="minutes under load, over all runs"
    )
    parser.add_argument(
        "--report", type=Path, default=Path("soak"), help="file name without extension"
    )
    arguments, flags = parser.parse_known_args()
    file = arguments.report.with_suffix(".json")
    soak = Soak.load(file)
    soak.runs += 1
    limits = httpx.Limits(max_connections=None)
    async with (
        service(arguments.report.with_suffix(".log"), flags) as target,
        httpx.AsyncClient(base_url=target.url, timeout=120, limits=limits) as client,
    ):
        load = Load(soak, file, target, client)
        await load.learn()
        await load.run(arguments.minutes * 60 - soak.seconds)
        soak.held = await held(client)
    soak.save(file)
    arguments.report.with_suffix(".md").write_text(report(soak))
    print(report(soak))
    broken = any("failed" in name for name in soak.results)
    sys.exit(bool(soak.wrong or soak.unintended or broken or any(soak.held.values())))


if __name__ == "__main__":
    asyncio.run(main())
