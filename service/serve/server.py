"""The running service: listen, load, serve, drain, stop.

The service listens from the first second and answers "starting" while the encoder and the engine load. At
SIGTERM it refuses new requests, lets the running ones finish within the grace period, and stops.
"""

import argparse
import asyncio
import os
import socket
import traceback
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import monotonic

from starlette.types import ASGIApp
from vllm.entrypoints.launchers.launcher import NoSignalServer
from vllm.envs import enable_envs_cache

from service.api.api_keys import GivenKeys, KeyFile, KeySource
from service.api.app import create_app, create_batch_store
from service.api.backend import Backend, Loaded
from service.api.batch_lines import LineSender, run_batches
from service.api.lifecycle import Lifecycle, State
from service.api.stack import StackOptions, build_line_stack, build_stack
from service.engine.client import Engine
from service.errors import ServiceError
from service.model_folder.layout import ModelFolder
from service.serve.banner import banner, say
from service.serve.child_processes import kill_child_processes
from service.serve.control import Control
from service.serve.environment import compiles_at_first_use
from service.serve.heartbeat import HangLimits, Heartbeat, Pings
from service.serve.parts import Parts
from service.serve.projections import watch
from service.serve.startup_report import capacity
from service.serve.uvicorn_config import cors_options, given_keys, uvicorn_config
from service.serve.warm_up import warm_up, warm_up_bodies
from service.settings import Settings
from service.shared_count import Count
from service.usage.recording import set_ledger
from service.vision.interface import Runtime

WATCH_SECONDS = 1.0
"""How often the engine and the encoder are checked for life."""


class Server:
    """One run of the service."""

    def __init__(
        self,
        folder: ModelFolder,
        settings: Settings,
        arguments: argparse.Namespace,
        listener: socket.socket,
        parts: Parts,
        control: Control,
    ) -> None:
        """``arguments`` are vLLM's, parsed; ``listener`` is bound to the address.

        Args:
            parts: Loads engine and encoder.
            control: Says when to end, and is told how far the server is.

        Raises:
            SettingsError: the file of API keys or the usage file cannot be used.
        """
        set_ledger(parts.open_ledger())
        self._folder = folder
        self._settings = settings
        self._arguments = arguments
        self._listener = listener
        self._parts = parts
        self._control = control
        self._lifecycle = Lifecycle()
        self._backend = Backend()
        options = stack_options(arguments, settings, folder.family.grounds, parts.held_bytes)
        # Our layer does this instead of vLLM's.
        arguments.sse_keep_alive_interval = 0
        self._app = build_stack(self._backend, self._lifecycle, settings, options)
        self._line_app = build_line_stack(self._backend, self._lifecycle, settings, options)
        self._stop = asyncio.Event()
        self._watching: list[asyncio.Task[None]] = []
        self._hung = False
        self._exit_status = 0

    async def run(self) -> int:
        """Start, serve, drain, stop; return the exit status of the process."""
        self._control.attach(self._stop.set, self._fail)
        async with AsyncExitStack() as stack:
            http = NoSignalServer(uvicorn_config(self._app, self._arguments))
            serving = asyncio.create_task(http.serve(sockets=[self._listener]))
            starting = asyncio.create_task(self._start(stack, http))
            stopping = asyncio.create_task(self._stop.wait())
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({serving, starting, stopping}, return_when=first)
            if serving.done():
                self._give_up(
                    serving.exception() or RuntimeError("HTTP ended while the service started.")
                )
            if not starting.done():
                _exit_now()  # told to stop while loading: no request is in flight
            if error := starting.exception():
                self._give_up(error)
            await stopping
            for task in self._watching:
                task.cancel()
            if self._exit_status == 0:
                await self._drain()
            # HTTP stops before the application, which must not be asked after its end.
            http.should_exit = True
            await serving
            if self._hung:
                starting.result().shutdown(timeout=1)
                _exit_now()  # a hung thread would keep the process
        return self._exit_status

    async def _start(self, stack: AsyncExitStack, http: NoSignalServer) -> Engine:
        while not http.started:  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.01)
        engine, runtime = await self._parts.load(stack, self._control)
        batches = create_batch_store(self._settings, self._arguments.served_model_name[0])
        app = await create_app(engine, self._arguments, self._settings, self._folder, batches)
        app.state.server = http  # vLLM's error handlers look for it there
        await stack.enter_async_context(app.router.lifespan_context(app))
        if self._parts.is_first and warms_up(self._settings):
            await self._warm_up(app)
        enable_envs_cache()  # otherwise vLLM reads the environment several times for each token
        limits = HangLimits.from_settings(self._settings)
        pings = Pings(engine.is_sleeping)  # the cheapest question that the engine's loop answers
        heartbeats = [
            Heartbeat("engine", pings.silence, limits),
            Heartbeat("vision encoder", lambda: runtime.silence, limits),
        ]

        def is_healthy() -> bool:
            hung = any(heartbeat.is_unhealthy for heartbeat in heartbeats)
            return runtime.ready and not engine.errored and not hung

        self._watching = [
            *([asyncio.create_task(watch(loader))] if (loader := self._parts.projections) else []),
            asyncio.create_task(pings.run()),
            asyncio.create_task(self._watch(engine, runtime, heartbeats)),
        ]
        loaded = Loaded(
            app,
            is_healthy=is_healthy,
            is_full=engine.is_full,
            reserve_slot=engine.reserve_slot,
            retry_after=lambda: max(1, round(runtime.seconds_to_empty)),
        )
        self._backend.attach(loaded)
        if batches is not None and self._parts.is_first:
            sender = LineSender(self._line_app, is_healthy)
            is_busy = engine.is_serving_clients
            await stack.enter_async_context(
                run_batches(batches, sender, self._lifecycle, is_busy, batches.limits)
            )
        report = capacity(self._folder, self._settings, engine.vllm_config)
        await self._control.loaded(report)
        self._lifecycle.state = State.READY
        self._control.ready(report, banner(self._arguments, self._settings.page))
        return engine

    async def _warm_up(self, app: ASGIApp) -> None:
        start = monotonic()
        say("  warm-up: a few requests of our own, for which kernels are compiled ...")
        for refusal in await warm_up(app, warm_up_bodies()):
            say(f"  warm-up: not possible with these flags: {refusal[:200]}")
        say(f"  warm-up ready after {monotonic() - start:.0f} s")

    async def _watch(
        self, engine: Engine, runtime: Runtime, heartbeats: Sequence[Heartbeat]
    ) -> None:
        """Stop when the engine or the encoder has died or hangs: the orchestrator starts a new process."""
        while True:
            self._control.alive()
            for heartbeat in heartbeats:
                heartbeat.observe()
            if engine.errored or runtime.failed:
                say(f"The {'engine' if engine.errored else 'vision encoder'} has died; exiting.")
                break
            if hung := [heartbeat.part for heartbeat in heartbeats if heartbeat.is_dead]:
                say(f"The {hung[0]} makes no progress any more; exiting.")
                self._hung = True
                break
            await asyncio.sleep(WATCH_SECONDS)
        self._fail()

    def _fail(self) -> None:
        self._lifecycle.state = State.FAILED
        self._exit_status = 1
        self._stop.set()

    def _give_up(self, error: BaseException) -> None:
        """Tell why the service could not start, and exit without waiting for what still loads."""
        if not isinstance(error, ServiceError):
            traceback.print_exception(error)
        self._control.failed(str(error))
        _exit_now()

    async def _drain(self) -> None:
        grace = self._arguments.shutdown_timeout
        self._control.draining(self._lifecycle.in_flight, grace)
        await self._control.drained(await self._lifecycle.drain(grace))


def warms_up(settings: Settings) -> bool:
    """Whether the service asks itself before it is ready."""
    return settings.warm_up == "on" or (settings.warm_up == "auto" and compiles_at_first_use())


def stack_options(
    arguments: argparse.Namespace,
    settings: Settings,
    boxes: bool,
    held_bytes: Count | None = None,
) -> StackOptions:
    """What vLLM's flags say about the layers.

    Args:
        boxes: Whether the served family's answers can hold boxes.
        held_bytes: Shared by all API processes.

    Raises:
        SettingsError: the file of API keys cannot be used.
    """
    keys: list[KeySource] = []
    if settings.api_keys_file:
        keys.append(KeyFile(settings.api_keys_file))
    if given := given_keys(arguments):
        keys.append(GivenKeys(given))
    return StackOptions(
        cors=cors_options(arguments),
        traces=bool(arguments.otlp_traces_endpoint),
        keys=keys,
        keep_alive_seconds=arguments.sse_keep_alive_interval,
        boxes=boxes,
        held_bytes=held_bytes,
    )


def _exit_now() -> None:
    """Exit at once, and leave no process."""
    kill_child_processes()
    os._exit(1)
