"""``serve``: settings, environment and vLLM's flags; then :class:`service.serve.server.Server` runs.

Everything that can be checked cheaply is checked here, before anything is loaded.
"""

import argparse
import ctypes
import os
import signal
import socket
import sys

from service.errors import ServiceError
from service.observability.logs import configure_logs
from service.observability.output import capture_output
from service.serve.arguments import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    add_arguments,
    given_settings,
    given_vllm_flags,
)
from service.serve.banner import say
from service.serve.builtin_models import resolve_model
from service.serve.environment import (
    disable_compilation,
    keep_kernels,
    limit_threads,
    set_environment,
)
from service.serve.flag_names import check_flag_names
from service.serve.folders import warn_about_uploads
from service.serve.listener import bind
from service.settings import Settings, load_settings

__all__ = ["add_arguments", "run"]

SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter's lock while another thread waits for it. A request passes between
the event loop and the threads that render and tokenize several times; with Python's default it waited 5 ms each
time."""


def run(arguments: argparse.Namespace) -> None:
    """Serve until told to stop; exit with a non-zero status when the engine or the encoder has died."""
    # Until the server takes over: as a container's first process, this one ignores unhandled signals.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    check_flag_names(arguments.vllm_flags)
    settings = load_settings(arguments.settings, **given_settings(arguments))
    listener = _bind_early(arguments)
    stream = capture_output() if settings.log_format == "json" else None
    configure_logs(settings.log_format, stream)
    if warning := warn_about_uploads(settings):
        say(warning)
    folder = resolve_model(settings.model, settings.cache_dir)
    set_environment(folder)
    # From here on, imports take seconds.
    from service.model_folder.validation import validate
    from service.serve.vllm_arguments import parse_vllm_flags

    validate(folder)
    vllm_arguments = parse_vllm_flags(folder, settings, given_vllm_flags(arguments))
    if warning := disable_compilation(vllm_arguments):
        say(warning)
    _prepare_platform(settings)
    if settings.encoder_dtype == "auto" and vllm_arguments.dtype in ("float32", "float"):
        # Exact arithmetic is asked for: the encoder's as well.
        settings = settings.model_copy(update={"encoder_dtype": "float32"})
    listener = listener or bind(vllm_arguments.host or "", vllm_arguments.port)
    sys.setswitchinterval(SWITCH_SECONDS)
    import uvloop

    from service.serve.server import Server

    async def serve() -> int:
        return await Server(folder, settings, vllm_arguments, listener).run()

    sys.exit(uvloop.run(serve()))


def _bind_early(arguments: argparse.Namespace) -> socket.socket | None:
    """Bind the address before anything is loaded; None if a file of ``--config`` may name another one."""
    if any(word.partition("=")[0] == "--config" for word in arguments.vllm_flags):
        return None
    port = DEFAULT_PORT if arguments.port is None else arguments.port
    return bind(arguments.host or DEFAULT_HOST, port)


def _prepare_platform(settings: Settings) -> None:
    from vllm.platforms import current_platform

    on_gpu = not current_platform.is_cpu()
    limit_threads(on_gpu)
    if on_gpu:
        keep_kernels(settings.cache_dir)
    else:
        _require_libnuma()


def _require_libnuma() -> None:
    """Check for a library without which vLLM's CPU kernels are silently absent."""
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        raise ServiceError(
            "vLLM needs the library libnuma on a CPU. Debian and Ubuntu: apt install libnuma1"
        ) from None
