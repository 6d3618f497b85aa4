"""The innermost layer of the stack: the application, after the service has loaded it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True)
class Loaded:
    """The application, and functions with which the layers ask the engine and the encoder.

    Attributes:
        app: vLLM's and our routes.
        is_healthy: Whether engine and encoder can serve; asked at each probe.
        is_full: Whether the engine has no slot for another request.
        reserve_slot: Reserves a slot for one request while the block runs; gives whether a slot was
            free.
        retry_after: Seconds that a client should wait after a refusal because of overload.
    """

    app: ASGIApp
    is_healthy: Callable[[], bool]
    is_full: Callable[[], bool]
    reserve_slot: Callable[[], AbstractContextManager[bool]]
    retry_after: Callable[[], int]


class Backend:
    """The innermost ASGI application. Only the gate asks whether it is loaded."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None

    def attach(self, loaded: Loaded) -> None:
        """Serve with ``loaded`` from now on."""
        self._loaded = loaded

    @property
    def is_loaded(self) -> bool:
        """Whether requests can be passed on."""
        return self._loaded is not None

    @property
    def loaded(self) -> Loaded:
        """The loaded application."""
        assert self._loaded is not None, (
            "a request passed the gate before the service was loaded: a bug"
        )
        return self._loaded

    @property
    def is_healthy(self) -> bool:
        """Whether engine and encoder are loaded and can serve."""
        return self._loaded is not None and self._loaded.is_healthy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application."""
        await self.loaded.app(scope, receive, send)
