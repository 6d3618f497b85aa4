"""Where a server gets its engine and its encoder from: it starts them, or connects to those of the supervisor."""

import argparse
import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import monotonic
from typing import ParamSpec, Protocol, TypeVar

from service.engine.client import Engine, connect_engine, start_engine
from service.images.dns import LOOKUP_SLOTS
from service.images.fetching import FETCH_SLOTS
from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import load_vision_config
from service.serve.control import Control
from service.serve.links import Links
from service.serve.projections import load_projections
from service.settings import Settings
from service.shared_count import Count
from service.usage.ledger import Ledger
from service.usage.mapped_ledger import attach, create
from service.vision import shared
from service.vision.interface import Runtime
from service.vision.limits import EncodingLimits
from service.vision.projection_loader import ProjectionLoader
from service.vision.remote.client import RemoteRuntime

P = ParamSpec("P")
R = TypeVar("R")


class Parts(Protocol):
    """Loads engine and encoder."""

    held_bytes: Count | None
    is_first: bool
    projections: ProjectionLoader | None

    def open_ledger(self) -> Ledger:
        """Open what API keys have used; raises :class:`SettingsError`."""

    async def load(self, stack: AsyncExitStack, control: Control) -> tuple[Engine, Runtime]:
        """Return both when they can serve; ``stack`` shuts them down."""


@dataclass
class OwnParts:
    """Starts the engine's processes, and the encoder on a thread of this process."""

    folder: ModelFolder
    settings: Settings
    arguments: argparse.Namespace
    held_bytes: Count | None = None
    is_first: bool = True
    projections: ProjectionLoader | None = None

    def open_ledger(self) -> Ledger:
        """Create it, or open the one of the last start."""
        return create(self.settings.usage_file)

    async def load(self, stack: AsyncExitStack, control: Control) -> tuple[Engine, Runtime]:
        """Load encoder and engine at the same time."""
        shared.set_model_folder(self.folder)
        shared.set_settings(self.settings)
        control.progress(f"Loading {self.folder.index.family} from {self.folder.root}")
        if self.settings.names_projections:
            self.projections = await asyncio.to_thread(
                load_projections, self.folder, self.settings, self.arguments
            )
            stack.callback(shared.stop_shared_projections)
        runtime, engine = await asyncio.gather(
            _load(control, "vision encoder", shared.shared_runtime),
            _load(
                control,
                "vLLM engine",
                start_engine,
                self.arguments,
                self.folder.family.stop,
                self.settings.isolate_keys,
            ),
        )
        stack.callback(shared.stop_shared_runtime)
        stack.callback(engine.shutdown, timeout=5)
        return engine, runtime


class LinkedParts:
    """Connects to the engine and the encoder that the supervisor has started."""

    def __init__(
        self,
        folder: ModelFolder,
        settings: Settings,
        arguments: argparse.Namespace,
        links: Links,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._arguments = arguments
        self._links = links
        self.held_bytes: Count | None = links.held_bytes
        self.is_first = links.index == 0
        self.projections: ProjectionLoader | None = None

    def open_ledger(self) -> Ledger:
        """Open the one that the supervisor has created."""
        return attach(self._links.ledger)

    async def load(self, stack: AsyncExitStack, control: Control) -> tuple[Engine, Runtime]:
        """Connect, and wait for the encoder and the engine, which may still be loading."""
        shared.set_model_folder(self._folder)
        shared.set_settings(self._settings)
        links = self._links
        for slots in (FETCH_SLOTS, LOOKUP_SLOTS):
            slots.divide(links.processes)
        runtime = RemoteRuntime(
            links.encoder_address,
            f"api-{links.index}".encode(),
            load_vision_config(self._folder.vision),
            EncodingLimits.from_settings(self._settings, links.processes).decode_threads,
        )
        await runtime.connect()
        shared.set_runtime(runtime)
        stack.callback(shared.stop_shared_runtime)
        engine = await asyncio.to_thread(
            connect_engine,
            self._arguments,
            self._folder.family.stop,
            self._settings.isolate_keys,
            links.engine_addresses,
            links.reservations,
            links.lines,
        )
        stack.callback(engine.shutdown, timeout=5)
        await runtime.wait_until_loaded()
        return engine, runtime


async def _load(
    control: Control, what: str, load: Callable[P, R], *args: P.args, **kw: P.kwargs
) -> R:
    start = monotonic()
    control.progress(f"  {what} ...")
    loaded = await asyncio.to_thread(load, *args, **kw)
    control.progress(f"  {what} ready after {monotonic() - start:.0f} s")
    return loaded
