"""``serve``: settings, environment and vLLM's flags; then :class:`service.serve.server.Server` runs.

Everything that can be checked cheaply is checked here, before anything is loaded.
"""

import argparse
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence

from service.errors import ServiceError
from service.model_folder.layout import ModelFolder
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
from service.serve.layout import count_api_processes
from service.serve.listener import bind, share
from service.serve.roles import SWITCH_SECONDS
from service.settings import Settings, load_settings

__all__ = ["add_arguments", "run"]


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
    on_gpu = _prepare_platform(settings)
    processes = count_api_processes(vllm_arguments, settings, on_gpu)
    if settings.encoder_dtype == "auto" and vllm_arguments.dtype in ("float32", "float"):
        # Exact arithmetic is asked for: the encoder's as well.
        settings = settings.model_copy(update={"encoder_dtype": "float32"})
    listener = listener or bind(vllm_arguments.host or "", vllm_arguments.port)
    if processes:
        vllm_arguments.api_server_count = processes
        listeners = share(listener, processes)
        sys.exit(_supervise(folder, settings, vllm_arguments, listeners))
    sys.exit(_serve_alone(folder, settings, vllm_arguments, listener))


def _serve_alone(
    folder: ModelFolder, settings: Settings, arguments: argparse.Namespace, listener: socket.socket
) -> int:
    """Serve HTTP and encode in this process."""
    import uvloop

    from service.serve.control import Signals
    from service.serve.parts import OwnParts
    from service.serve.server import Server

    sys.setswitchinterval(SWITCH_SECONDS)

    async def serve() -> int:
        parts = OwnParts(folder, settings, arguments)
        return await Server(folder, settings, arguments, listener, parts, Signals()).run()

    return uvloop.run(serve())


def _supervise(
    folder: ModelFolder,
    settings: Settings,
    arguments: argparse.Namespace,
    listeners: Sequence[socket.socket],
) -> int:
    """Serve with several processes. What an operator can get wrong is checked before they are started."""
    from vllm import envs

    from service.api.backend import Backend
    from service.serve.server import stack_options
    from service.serve.supervisor import Supervisor
    from service.serve.uvicorn_config import uvicorn_config

    stack_options(arguments, settings, folder.family.grounds)
    uvicorn_config(Backend(), arguments)
    if len(listeners) > 1 and envs.VLLM_ENABLE_RESPONSES_API_STORE:
        say(
            "Stored responses (VLLM_ENABLE_RESPONSES_API_STORE) are not shared: each is known to one of "
            f"{len(listeners)} API processes only."
        )
    return Supervisor(folder, settings, arguments, listeners).run()


def _bind_early(arguments: argparse.Namespace) -> socket.socket | None:
    """Bind the address before anything is loaded; None if a file of ``--config`` may name another one."""
    if any(word.partition("=")[0] == "--config" for word in arguments.vllm_flags):
        return None
    port = DEFAULT_PORT if arguments.port is None else arguments.port
    return bind(arguments.host or DEFAULT_HOST, port)


def _prepare_platform(settings: Settings) -> bool:
    """Set threads and caches; return whether the engine runs on a GPU."""
    from vllm.platforms import current_platform

    on_gpu = not current_platform.is_cpu()
    limit_threads(on_gpu)
    if on_gpu:
        keep_kernels(settings.cache_dir)
    else:
        _require_libnuma()
    return on_gpu


def _require_libnuma() -> None:
    """Check for a library without which vLLM's CPU kernels are silently absent."""
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        raise ServiceError(
            "vLLM needs the library libnuma on a CPU. Debian and Ubuntu: apt install libnuma1"
        ) from None
