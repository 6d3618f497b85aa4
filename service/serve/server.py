"""The running service: listen, load, open the gate, drain, stop.

It answers "starting" while the encoder and the engine load at the same time, and at SIGTERM it
refuses new requests, lets the running ones finish within the grace period, and stops.
"""

import argparse
import asyncio
import os
import signal
import socket
import traceback
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import ParamSpec, TypeVar

from starlette.types import ASGIApp
from vllm.entrypoints.launchers.launcher import NoSignalServer
from vllm.envs import enable_envs_cache

from service.api.api_keys import GivenKeys, KeyFile, RequireKey
from service.api.app import create_app
from service.api.lifecycle import Gate, Lifecycle, State
from service.api.middleware.deadline import Deadline
from service.api.middleware.keep_alive import KeepAlive
from service.api.middleware.request_observer import RequestObserver
from service.engine.client import Engine, start_engine
from service.errors import ServiceError
from service.model_folder.layout import ModelFolder
from service.observability.output import restore_output
from service.observability.tracing import Tracing
from service.serve.banner import banner, say
from service.serve.startup_report import capacity
from service.serve.uvicorn_config import given_keys, uvicorn_config, with_cors
from service.settings import Settings
from service.vision import shared
from service.vision.runtime import EncodingRuntime

P = ParamSpec("P")
R = TypeVar("R")

POLL = 1.0
"""Seconds between looks at whether engine and encoder still live."""


class Server:
    """One run of the service."""

    def __init__(
        self,
        folder: ModelFolder,
        settings: Settings,
        arguments: argparse.Namespace,
        listener: socket.socket,
    ) -> None:
        """``arguments`` are vLLM's, parsed; ``listener`` is bound to the address.

        Raises:
            SettingsError: the file of API keys cannot be used.
        """
        self._folder = folder
        self._settings = settings
        self._arguments = arguments
        # Ours (service/api/middleware/keep_alive.py) instead of vLLM's.
        self._silence = arguments.sse_keep_alive_interval
        arguments.sse_keep_alive_interval = 0
        self._listener = listener
        self._lifecycle = Lifecycle()
        self._gate = Gate(self._lifecycle)
        self._keys: list[KeyFile | GivenKeys] = []
        if settings.api_keys_file:
            self._keys.append(KeyFile(settings.api_keys_file))
        if given := given_keys(arguments):
            self._keys.append(GivenKeys(given))
        self._cut: Callable[[], None] = lambda: None
        self._stop = asyncio.Event()
        self._exit_status = 0

    async def run(self) -> int:
        """Start, serve, drain, stop; returns the process's exit status."""
        self._handle_signals()
        async with AsyncExitStack() as stack:
            http, serving = self._listen()
            starting = asyncio.create_task(self._start(stack, http))
            stopping = asyncio.create_task(self._stop.wait())
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({serving, starting, stopping}, return_when=first)
            if serving.done():
                _fail(serving.exception() or RuntimeError("HTTP ended while the service started."))
            if not starting.done():
                _exit_now()  # told to stop while loading: nothing is under way
            if error := starting.exception():
                _fail(error)
            watching = asyncio.create_task(self._watch(*starting.result()))
            await stopping
            watching.cancel()
            if self._exit_status == 0:
                await self._drain()
            # First, so that nobody asks an application that is no more.
            http.should_exit = True
            await serving
        return self._exit_status

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if self._stop.is_set():
            _exit_now()
        self._stop.set()

    def _listen(self) -> tuple[NoSignalServer, asyncio.Task[None]]:
        front: ASGIApp = self._gate
        if self._arguments.otlp_traces_endpoint:
            front = Tracing(front)
        front = RequestObserver(with_cors(front, self._arguments))
        http = NoSignalServer(uvicorn_config(front, self._arguments))
        return http, asyncio.create_task(http.serve(sockets=[self._listener]))

    async def _start(
        self, stack: AsyncExitStack, http: NoSignalServer
    ) -> tuple[Engine, EncodingRuntime]:
        while not http.started:  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.01)
        shared.set_model_folder(self._folder)
        shared.set_settings(self._settings)
        say(f"Loading {self._folder.index.family} from {self._folder.root}")
        runtime, engine = await asyncio.gather(
            self._load("vision encoder", shared.shared_runtime),
            self._load(
                "vLLM engine",
                start_engine,
                self._arguments,
                self._folder.family.stop,
                self._settings.isolate_keys,
            ),
        )
        stack.callback(shared.stop_shared_runtime)
        stack.callback(engine.shutdown, timeout=5)
        await engine.reset_mm_cache()  # what profiling left there

        def busy_seconds() -> int:
            return max(1, round(runtime.seconds_to_empty))

        app, limited = await create_app(
            engine, self._arguments, self._settings, self._folder.root, busy_seconds
        )
        app.state.server = http  # where vLLM's error handlers look for it
        await stack.enter_async_context(app.router.lifespan_context(app))
        enable_envs_cache()  # vLLM asks the environment several times a token otherwise
        self._gate.open(self._guarded(limited), lambda: runtime.ready and not engine.errored)
        say(capacity(self._folder, self._settings, engine.vllm_config))
        say(banner(self._arguments, self._settings.page))
        return engine, runtime

    def _guarded(self, app: ASGIApp) -> ASGIApp:
        if self._silence:
            app = KeepAlive(app, self._silence)
        deadline = Deadline(app, self._settings.request_max_seconds)
        self._cut = deadline.cut
        return RequireKey(deadline, *self._keys) if self._keys else deadline

    async def _load(self, what: str, load: Callable[P, R], *args: P.args, **kw: P.kwargs) -> R:
        start = monotonic()
        say(f"  {what} ...")
        loaded = await asyncio.to_thread(load, *args, **kw)
        say(f"  {what} ready after {monotonic() - start:.0f} s")
        return loaded

    async def _watch(self, engine: Engine, runtime: EncodingRuntime) -> None:
        """What has died cannot come back: end, so that the orchestrator starts anew."""
        while not (engine.errored or runtime.failed):  # noqa: ASYNC110 - vLLM offers no event for it
            await asyncio.sleep(POLL)
        say(f"The {'engine' if engine.errored else 'vision encoder'} has died; exiting.")
        self._lifecycle.state = State.FAILED
        self._exit_status = 1
        self._stop.set()

    async def _drain(self) -> None:
        grace = self._arguments.shutdown_timeout
        say(f"Draining: {self._lifecycle.in_flight} requests under way, at most {grace} s.")
        if cut := await self._lifecycle.drain(grace):
            say(f"{cut} requests were cut.")
            self._cut()


def _fail(error: BaseException) -> None:
    """Say why the service could not start, and end without waiting for what still loads."""
    if not isinstance(error, ServiceError):
        traceback.print_exception(error)
    restore_output()
    say(f"minigpt4-service: {error}")
    _exit_now()


def _exit_now() -> None:
    """End at once, engine processes included: they notice that their parent is gone."""
    os._exit(1)
