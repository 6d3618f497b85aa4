"""Starts the encoder, the engine and the API processes, and ends the service when one of them has ended.

It serves no requests. Each API process has a socket of its own at the same address, among which the kernel divides the
connections. All become ready, drain and end together.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import socket
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from service.engine.launch import EnginePlan, launch_engine, list_client_addresses, plan_engine
from service.errors import ServiceError
from service.model_folder.layout import ModelFolder
from service.observability.output import restore_output
from service.serve.banner import banner, say
from service.serve.child_processes import kill_child_processes
from service.serve.control import DRAIN, FAIL, SERVE, SIGNALS, STOP
from service.serve.links import Links
from service.serve.roles import run_api, run_encoder
from service.serve.scratch import make_scratch
from service.serve.systemd import Notice, notify
from service.settings import Settings
from service.shared_count import SharedCount
from service.usage.mapped_ledger import create

if TYPE_CHECKING:
    from vllm.v1.engine.utils import CoreEngineProcManager

FAIL_SECONDS = 2.0
"""How long API processes may take to end their streams with an error when another process has died."""

ALIVE_SECONDS = 1.0
"""How often API processes tell that they make progress, and systemd is told."""

SILENT_SECONDS = 5.0
"""An API process that is silent for longer is no longer alive for systemd."""

SPAWN_SECONDS = 10.0
"""How long the engine's processes may take to exist."""

STOP_SECONDS = 10.0
"""How long processes may take to end after the drain."""


@dataclass
class _Child:
    """A process and the supervisor's end of its pipe."""

    name: str
    process: SpawnProcess
    pipe: Connection
    facts: dict[str, Any] = field(default_factory=dict)
    heard_at: float = field(default_factory=monotonic)

    def send(self, word: bytes) -> None:
        with suppress(OSError):  # it has ended; its sentinel tells
            self.pipe.send_bytes(word)


class Supervisor:
    """One run of the service."""

    def __init__(
        self,
        folder: ModelFolder,
        settings: Settings,
        arguments: argparse.Namespace,
        listeners: Sequence[socket.socket],
    ) -> None:
        """``listeners`` are bound to the address, one for each API process.

        Raises:
            SettingsError: the usage file cannot be used, or no temporary file can be written.
        """
        self._folder = folder
        self._settings = settings
        self._arguments = arguments
        self._listeners = listeners
        self._context = multiprocessing.get_context("spawn")
        self._scratch = make_scratch()
        self._encoder: _Child | None = None
        self._apis: list[_Child] = []
        self._plan: EnginePlan | None = None
        """Holds the sockets that the engine connects to after it has told that it is ready."""
        self._engine: CoreEngineProcManager | None = None
        self._engine_pipe, self._engine_side = multiprocessing.Pipe(duplex=False)
        self._spawns_engine = False
        self._engine_ready = False
        self._engine_spawned = threading.Event()
        self._signals, self._signal_side = socket.socketpair()
        self._signals.setblocking(False)
        self._ledger = create(settings.usage_file or self._scratch / "usage")
        self._shared: tuple[object, ...] = ()
        self._begin = monotonic()
        self._serving = False
        self._draining = False
        self._drain_until = 0.0
        self._waited_at = monotonic()

    def run(self) -> int:
        """Start, serve, drain, stop; return the exit status of the process."""
        self._handle_signals()
        try:
            self._start()
            while not (self._draining and all("drained" in api.facts for api in self._apis)):
                self._wait()
            if cut := sum(api.facts["drained"] for api in self._apis):
                say(f"{cut} requests were cut.")
            return self._stop()
        except Exception as error:
            # Python would wait at its end for the child processes, and they wait for this process.
            with suppress(OSError):  # a closed terminal
                traceback.print_exc()
            self._give_up(str(error))

    def _handle_signals(self) -> None:
        self._signal_side.setblocking(False)
        signal.set_wakeup_fd(self._signal_side.fileno())
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)

    def _start(self) -> None:
        metrics = self._scratch / "metrics"
        metrics.mkdir()
        # Read when a process imports prometheus_client. This process has already done so: it has no series.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        say(f"Loading {self._folder.index.family} from {self._folder.root}")
        settings = self._settings.model_dump()
        address = f"ipc://{self._scratch}/encoder"
        say("  vision encoder ...")
        self._encoder = self._spawn(
            "vision encoder", run_encoder, self._folder.root, settings, address
        )
        try:
            plan = plan_engine(self._arguments, len(self._listeners))
        except ServiceError as error:
            self._give_up(str(error))
        self._plan = plan
        self._start_apis(plan, settings, address)
        say("  vLLM engine ...")
        # Starting the engine changes the environment for its processes, so all others are spawned before.
        self._spawns_engine = True
        threading.Thread(target=self._launch_engine, args=(plan,), daemon=True).start()

    def _start_apis(self, plan: EnginePlan, settings: dict[str, Any], address: str) -> None:
        count = len(self._listeners)
        reservations = SharedCount.create(self._context, count)
        lines = SharedCount.create(self._context, count)
        held_bytes = SharedCount.create(self._context, count)
        addresses = list_client_addresses(plan, self._context)
        # What the processes share exists for as long as this process refers to it.
        self._shared = (reservations, lines, held_bytes, addresses)
        for index, (listener, engine) in enumerate(zip(self._listeners, addresses, strict=True)):
            links = Links(
                index=index,
                processes=count,
                encoder_address=address,
                engine_addresses=engine,
                reservations=reservations.for_process(index),
                lines=lines.for_process(index),
                held_bytes=held_bytes.for_process(index),
                ledger=self._ledger.shared_path,
            )
            api = self._spawn(
                *(f"API process {index}", run_api, self._folder.root, settings),
                *(self._arguments, listener, links),
            )
            self._apis.append(api)
            listener.close()
            plan.listeners.inputs[index].close()
            plan.listeners.outputs[index].close()

    def _spawn(self, name: str, target: Any, *args: Any) -> _Child:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=target, args=(theirs, *args), name=name)
        # A signal to the whole group waits until the process ignores it. Starting the tracker would unblock it.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()
        return _Child(name, process, ours)

    def _launch_engine(self, plan: EnginePlan) -> None:
        """Start the engine. Runs on a thread, because it blocks until the engine can serve."""

        def remember(manager: "CoreEngineProcManager") -> None:
            self._engine = manager
            self._engine_spawned.set()
            self._engine_side.send_bytes(b"started")

        try:
            launch_engine(plan, remember)
        except Exception as error:
            self._engine_side.send_bytes(f"failed {error}".encode())
        else:
            self._engine_side.send_bytes(b"ready")
        finally:
            self._engine_spawned.set()

    def _wait(self) -> None:
        """Wait for the next events and handle them."""
        assert self._encoder is not None
        children = {
            child.pipe: child for child in (self._encoder, *self._apis) if not child.pipe.closed
        }
        sentinels = {child.process.sentinel: child for child in (self._encoder, *self._apis)}
        engines = self._list_engine_sentinels()
        sources = [*children, *sentinels, *engines, self._engine_pipe, self._signals]
        events = wait(sources, ALIVE_SECONDS)
        self._excuse_pause()
        for event in events:
            if event is self._signals:
                self._handle_signal()
            elif event is self._engine_pipe:
                self._hear_engine(self._engine_pipe.recv_bytes().decode())
            elif isinstance(event, Connection) and event in children:
                self._hear(children[event])
        self._check_life()
        for event in events:
            if event in engines:
                self._notice_engine_end(engines[event])
            if isinstance(event, int) and event in sentinels:
                self._notice_end(sentinels[event])

    def _excuse_pause(self) -> None:
        """Forget the silence of the API processes when this process was stopped as well.

        A stop of the whole service (``docker pause``, Ctrl-Z) is not a hang.
        """
        now = monotonic()
        if now - self._waited_at > SILENT_SECONDS:
            for api in self._apis:
                api.heard_at = now
        self._waited_at = now

    def _check_life(self) -> None:
        """Tell systemd that all event loops make progress; end when one of them does not any more."""
        if self._draining:
            self._check_drain()
        if self._draining or not self._serving:
            return
        silent = {api.name: monotonic() - api.heard_at for api in self._apis}
        if max(silent.values()) < SILENT_SECONDS:
            notify(Notice.ALIVE)
        for name, seconds in silent.items():
            if seconds > self._settings.hang_exit_seconds:
                self._fail(f"{name} makes no progress any more; exiting.")

    def _check_drain(self) -> None:
        """End when an API process does not tell in time that it has drained: it tells nothing before."""
        late = [api.name for api in self._apis if "drained" not in api.facts]
        if late and monotonic() > self._drain_until:
            self._fail(f"{late[0]} did not drain in time; exiting.")

    def _list_engine_sentinels(self) -> dict[Any, BaseProcess]:
        """The engine's processes whose end would be a surprise.

        While the engine starts, the thread that starts it tells why it has ended. A signal to the
        whole group also reaches the engine, which then ends when its requests have ended.
        """
        engine = self._engine if self._engine_ready else None
        processes = engine.processes if engine is not None else []
        return {
            process.sentinel: process
            for process in processes
            if not (self._draining and process.exitcode == 0)
        }

    def _notice_engine_end(self, process: BaseProcess) -> None:
        process.join(1.0)  # the sentinel is ready a moment before the exit status
        if process.sentinel in self._list_engine_sentinels():
            self._fail("The engine has died; exiting.")

    def _handle_signal(self) -> None:
        self._signals.recv(64)
        if self._draining or not self._serving:
            self._exit(1)
        self._draining = True
        self._drain_until = monotonic() + self._arguments.shutdown_timeout + STOP_SECONDS
        notify(Notice.STOPPING)
        for api in self._apis:
            api.send(DRAIN)

    def _hear_engine(self, text: str) -> None:
        if text.startswith("failed "):
            self._give_up(text.removeprefix("failed "))
        if text == "ready":
            self._engine_ready = True
            say(f"  vLLM engine ready after {monotonic() - self._begin:.0f} s")

    def _hear(self, child: _Child) -> None:
        try:
            facts = json.loads(child.pipe.recv_bytes())
        except (EOFError, OSError):
            child.pipe.close()
            return
        child.facts |= facts
        child.heard_at = monotonic()
        if "failed" in facts:
            self._give_up(facts["failed"])
        if "ready" in facts:
            say(f"  vision encoder ready after {monotonic() - self._begin:.0f} s")
        if "loaded" in facts and all("loaded" in api.facts for api in self._apis):
            self._serve()
        if "draining" in facts and all("draining" in api.facts for api in self._apis):
            in_flight = sum(api.facts["draining"] for api in self._apis)
            grace = self._arguments.shutdown_timeout
            say(f"Draining: {in_flight} requests in flight, at most {grace} s.")

    def _serve(self) -> None:
        self._serving = True
        notify(Notice.READY)
        for api in self._apis:
            api.send(SERVE)
        say(self._apis[0].facts["loaded"])
        say(banner(self._arguments, self._settings.page))

    def _notice_end(self, child: _Child) -> None:
        while not child.pipe.closed and child.pipe.poll():
            self._hear(child)
        child.process.join()
        self._fail(
            f"The {child.name} has died (exit status {child.process.exitcode}); exiting."
            if child is self._encoder
            else f"{child.name} has died (exit status {child.process.exitcode}); exiting."
        )

    def _fail(self, message: str) -> NoReturn:
        """End because a process has died: give the others a moment to tell their clients."""
        say(message)
        for api in self._apis:
            api.send(FAIL)
        deadline = monotonic() + FAIL_SECONDS
        for api in self._apis:
            api.process.join(max(0.0, deadline - monotonic()))
        self._exit(1)

    def _give_up(self, reason: str) -> NoReturn:
        """End because the service cannot start."""
        restore_output()
        say(f"minigpt4-service: {reason}")
        self._exit(1)

    def _stop(self) -> int:
        """End all processes in order; return the exit status."""
        for api in self._apis:
            api.send(STOP)
        deadline = monotonic() + STOP_SECONDS
        for api in self._apis:
            api.process.join(max(0.0, deadline - monotonic()))
        failed = [api.name for api in self._apis if api.process.exitcode != 0]
        for name in failed:
            say(f"{name} did not end in order.")
        if self._engine is not None:
            self._engine.shutdown(timeout=5)
        assert self._encoder is not None
        self._encoder.pipe.close()
        self._encoder.process.join(max(1.0, deadline - monotonic()))
        self._clean_up()
        return 1 if failed else 0

    def _exit(self, status: int) -> NoReturn:
        """Exit at once, with all processes."""
        self._clean_up()
        restore_output()
        os._exit(status)

    def _clean_up(self) -> None:
        if self._spawns_engine:  # its processes can be killed from then on
            self._engine_spawned.wait(SPAWN_SECONDS)
        kill_child_processes()
        if self._plan is not None:
            self._plan.listeners.cleanup()
        shutil.rmtree(self._scratch, ignore_errors=True)
