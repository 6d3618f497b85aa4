"""Chaos on one machine: two services behind a gateway are restarted, killed and stopped.

``python -m loadtests.chaos --report chaos`` runs Envoy with ``deploy/envoy/envoy.yaml`` and two
services with the model ``tiny``, and writes ``chaos.json`` and ``chaos.md``. It exits with status 1
where a stream was lost that should not have been. Needs the extra ``dev``, which has Envoy.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from loadtests.server_process import free_port

GATEWAY = Path(__file__).parents[1] / "deploy" / "envoy" / "envoy.yaml"
START_SECONDS = 300.0
HUNG_SECONDS = 15.0
"""How long the stopped service stays before it is killed, as systemd's watchdog or a liveness probe
does."""

NOTICE_SECONDS = 6.0
"""Time that the gateway may take to notice a service that does not answer: two checks of 2 s, 1 s
apart, and room."""

COMMAND = (
    *("service", "serve", "--model", "tiny", "--log-format", "json"),
    *("--max-num-seqs", "16", "--page", "false"),
)
QUESTION = "Tell me about it in many words."


@dataclass
class Exchange:
    """One request through the gateway.

    Attributes:
        began: Seconds of the monotonic clock; ``ended`` likewise.
        begun: Whether its response had begun, so that the gateway cannot ask elsewhere any more.
        outcome: ``whole``, ``cut`` (the stream ended early), or the status of a refusal.
    """

    id: str
    began: float
    ended: float = 0.0
    begun: bool = False
    outcome: str = ""


@dataclass
class Phase:
    """What happened to the requests while one thing was done to the services."""

    name: str
    exchanges: list[Exchange] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def outcomes(self) -> Counter[str]:
        """Requests by outcome."""
        return Counter(exchange.outcome for exchange in self.exchanges)

    def check(self, holds: bool, otherwise: str) -> None:
        """Note a failure, unless the condition holds."""
        if not holds:
            self.failures.append(otherwise)


class Service:
    """One service on a port of its own, which can be started again.

    Args:
        name: For its log.
        folder: Where its log is.
        command: Words after ``python -m``, without the port.
    """

    def __init__(self, name: str, folder: Path, command: Sequence[str] = COMMAND) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"{name}.log"
        self._folder = folder
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        command = [sys.executable, "-m", *self._command, "--port", str(self.port)]
        environment = {**os.environ, "MINIGPT4_FILES_DIR": str(self._folder / "files")}
        with self._log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdout=log,
                stderr=log,
                env=environment,
                process_group=0,
            )
        await wait_until(lambda: answers(f"{self.url}/ready"), START_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Signal the service; SIGKILL, SIGSTOP and SIGCONT go to all its processes."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            if number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT):
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """End it, whatever its state."""
        if self._process is not None and self._process.returncode is None:
            self.send(signal.SIGKILL)
            await self.wait()

    def logged(self) -> list[dict[str, Any]]:
        """Its access lines so far."""
        lines = []
        for line in self._log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict) and "request_id" in line]


class Load:
    """Clients that ask one question after another, all through the gateway."""

    def __init__(self, url: str, clients: int, tokens: int) -> None:
        self._url = url
        self._clients = clients
        self._tokens = tokens
        self._phase: Phase | None = None
        self.running: dict[str, Exchange] = {}

    @asynccontextmanager
    async def during(self, phase: Phase) -> AsyncIterator[None]:
        """Ask while the block runs, and wait for the last answers."""
        stop = asyncio.Event()
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=120, limits=limits) as http:
            clients = [
                asyncio.create_task(self._ask_until(http, stop, phase))
                for _ in range(self._clients)
            ]
            try:
                await asyncio.sleep(3)
                yield
                await asyncio.sleep(3)
            finally:
                stop.set()
                await asyncio.gather(*clients)

    async def ask_once(self, phase: Phase) -> None:
        """Ask one more question from each of as many clients, which wait for nothing else."""
        async with httpx.AsyncClient(timeout=120) as http:
            await asyncio.gather(*(self._ask_and_note(http, phase) for _ in range(self._clients)))

    async def _ask_until(self, http: httpx.AsyncClient, stop: asyncio.Event, phase: Phase) -> None:
        while not stop.is_set():
            exchange = await self._ask_and_note(http, phase)
            if exchange.outcome != "whole":
                await asyncio.sleep(0.2)

    async def _ask_and_note(self, http: httpx.AsyncClient, phase: Phase) -> Exchange:
        exchange = Exchange(f"{phase.name}-{len(phase.exchanges)}", time.monotonic())
        phase.exchanges.append(exchange)
        self.running[exchange.id] = exchange
        await self._ask(http, exchange)
        exchange.ended = time.monotonic()
        del self.running[exchange.id]
        return exchange

    async def _ask(self, http: httpx.AsyncClient, exchange: Exchange) -> None:
        body = {
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": self._tokens,
            "ignore_eos": True,
            "stream": True,
        }
        headers = {"x-request-id": exchange.id}
        try:
            async with http.stream(
                "POST", f"{self._url}/v1/chat/completions", json=body, headers=headers
            ) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    exchange.outcome = str(answer.status_code)
                    return
                exchange.begun = True
                text = ""
                async for chunk in answer.aiter_text():
                    text = text[-64:] + chunk
                exchange.outcome = "whole" if text.rstrip().endswith("data: [DONE]") else "cut"
        except httpx.TransportError:
            exchange.outcome = "cut"


async def answers(url: str) -> bool:
    """Whether ``url`` answers 200."""
    async with httpx.AsyncClient(timeout=5) as http:
        with suppress(httpx.TransportError):
            return (await http.get(url)).status_code == 200
    return False


async def wait_until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Wait until the condition holds; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.2)


@asynccontextmanager
async def run_gateway(services: list[Service], folder: Path) -> AsyncIterator[str]:
    """Envoy with the configuration that is shipped, on free ports; gives its address."""
    port, admin = free_port(), free_port()
    configuration = folder / "envoy.yaml"
    configuration.write_text(
        yaml.safe_dump(gateway_configuration([one.port for one in services], port, admin))
    )
    program = envoy()
    if program is None:
        raise RuntimeError("Envoy is not installed; the extra `dev` has it.")
    with (folder / "envoy.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            *("--config-path", str(configuration), "--concurrency", "1", "--use-dynamic-base-id"),
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await wait_until(lambda: answers(f"http://127.0.0.1:{admin}/ready"), 60)
        yield url
    finally:
        process.kill()
        await process.wait()


def envoy() -> str | None:
    """The program, beside this Python or on the PATH."""
    return shutil.which("envoy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def gateway_configuration(backends: list[int], port: int, admin: int) -> dict[str, Any]:
    """The shipped configuration with other ports."""
    configuration: dict[str, Any] = yaml.safe_load(GATEWAY.read_text())
    resources = configuration["static_resources"]
    listener = resources["listeners"][0]["address"]["socket_address"]
    listener.update(address="127.0.0.1", port_value=port)
    configuration["admin"]["address"]["socket_address"]["port_value"] = admin
    endpoints = resources["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    for endpoint, backend in zip(endpoints, backends, strict=True):
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = backend
    return configuration


async def restart_both(load: Load, services: list[Service]) -> Phase:
    """Restart one service after the other, as a rollout does. No request may notice."""
    phase = Phase("restart")
    refused = 0
    async with load.during(phase):
        for one in services:
            before = len(one.logged())
            one.send(signal.SIGTERM)
            status = await one.wait()
            phase.check(status == 0, f"{one.name} ended with status {status}")
            refused += sum(line["rejected"] == "draining" for line in one.logged()[before:])
            await one.start()
            await asyncio.sleep(3)  # the gateway asks once a second
    lost = len(phase.exchanges) - phase.outcomes["whole"]
    phase.facts = {"refused while draining, and asked elsewhere": refused}
    phase.check(lost == 0, f"{lost} requests were not answered whole")
    return phase


async def kill_one(load: Load, victim: Service) -> Phase:
    """Kill a service. Only streams that it had begun may be lost."""
    phase = Phase("kill")
    async with load.during(phase):
        under_way = list(load.running.values())
        victim.send(signal.SIGKILL)
        killed = time.monotonic()
        await victim.wait()
        await asyncio.sleep(5)
    await victim.start()
    # A response may have been on its way to its client at that moment.
    check_losses(phase, {exchange.id for exchange in under_way if exchange.begun}, killed)
    return phase


async def stop_one(load: Load, victim: Service) -> Phase:
    """Stop a service with SIGSTOP; some seconds later it is killed, as a watchdog does."""
    phase = Phase("hang")
    async with load.during(phase):
        victim.send(signal.SIGSTOP)
        stopped = time.monotonic()
        await asyncio.sleep(NOTICE_SECONDS)
        await load.ask_once(phase)
        await asyncio.sleep(max(0.0, stopped + HUNG_SECONDS - time.monotonic()))
        waiting = [one for one in load.running.values() if one.began < stopped + NOTICE_SECONDS]
        begun = {one.id for one in waiting if one.begun}
        victim.send(signal.SIGKILL)
        await victim.wait()
    late = [
        one.ended - one.began
        for one in phase.exchanges
        if stopped + NOTICE_SECONDS < one.began < stopped + HUNG_SECONDS
    ]
    check_losses(phase, begun, stopped)
    phase.facts |= {
        "sent to it before the gateway noticed, and asked elsewhere": len(waiting) - len(begun),
        "slowest request after that, s": round(max(late, default=0.0), 1),
    }
    phase.check(
        bool(late) and max(late) < HUNG_SECONDS / 2, "requests still went to a hung service"
    )
    return phase


def check_losses(phase: Phase, may_be_lost: set[str], since: float) -> None:
    """Check that only streams in ``may_be_lost`` were cut, and no request was refused."""
    cut = {exchange.id for exchange in phase.exchanges if exchange.outcome == "cut"}
    refused = len(phase.exchanges) - phase.outcomes["whole"] - len(cut)
    after = sum(one.outcome == "whole" and one.began > since for one in phase.exchanges)
    phase.facts = {"streams begun on either service": len(may_be_lost), "answered after it": after}
    phase.check(cut <= may_be_lost, f"{len(cut - may_be_lost)} other requests were lost")
    phase.check(refused == 0, f"{refused} requests were refused")
    phase.check(after > 0, "nothing was answered afterwards")


def write_report(phases: list[Phase], name: Path) -> None:
    """Write the figures as JSON, and as a table for the documentation."""
    data = [
        {"phase": one.name, "outcomes": one.outcomes, "facts": one.facts, "failures": one.failures}
        for one in phases
    ]
    name.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    lines = [
        "| | requests | whole | cut | refused | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for one in phases:
        whole, cut = one.outcomes["whole"], one.outcomes["cut"]
        facts = "; ".join(f"{text}: {value:g}" for text, value in one.facts.items())
        numbers = f"{len(one.exchanges)} | {whole} | {cut} | {len(one.exchanges) - whole - cut}"
        lines.append(f"| {one.name} | {numbers} | {facts} |")
    name.with_suffix(".md").write_text("\n".join(lines) + "\n")


async def run(
    folder: Path, clients: int, tokens: int, command: Sequence[str] = COMMAND
) -> list[Phase]:
    """Start everything, and run the phases one after the other."""
    services = [Service(name, folder, command) for name in ("first", "second")]
    try:
        await asyncio.gather(*(one.start() for one in services))
        async with run_gateway(services, folder) as url:
            load = Load(url, clients, tokens)
            phases = [await restart_both(load, services)]
            phases.append(await kill_one(load, services[0]))
            await asyncio.sleep(3)
            phases.append(await stop_one(load, services[1]))
            return phases
    finally:
        for one in services:
            await one.stop()


def main() -> None:
    """Run it and print what failed."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.chaos", description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=200, help="tokens of each answer")
    parser.add_argument("--folder", type=Path, default=Path("chaos-logs"), help="for logs")
    parser.add_argument("--report", type=Path, default=Path("chaos"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    phases = asyncio.run(run(arguments.folder, arguments.clients, arguments.tokens))
    write_report(phases, arguments.report)
    print(arguments.report.with_suffix(".md").read_text())
    failures = [f"{one.name}: {failure}" for one in phases for failure in one.failures]
    sys.exit("\n".join(failures) or None)


if __name__ == "__main__":
    main()
