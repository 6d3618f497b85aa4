"""``serve``: settings, environment and vLLM's flags; then :class:`service.serve.server.Server` runs.

Everything that can be checked cheaply is checked here, before anything is loaded.
"""

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

from service.errors import ServiceError
from service.model_folder.validation import validate
from service.observability.logs import configure_logs
from service.observability.output import capture_output
from service.serve.banner import say
from service.serve.builtin_models import resolve_model
from service.serve.environment import (
    disable_compilation,
    keep_kernels,
    limit_threads,
    set_environment,
)
from service.serve.listener import bind
from service.serve.vllm_arguments import parse_vllm_flags
from service.settings import Settings, load_settings

SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter's lock while another thread waits for it. A request passes between
the event loop and the threads that render and tokenize several times; with Python's default it waited 5 ms each
time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one flag for each setting; further flags go to vLLM."""
    parser.description = (
        "Serve a model folder. Flags not listed here go to vLLM (see `vllm serve`)."
    )
    parser.add_argument("--settings", type=Path, help="TOML file of settings")
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=f"setting_{name}", help=field.description, metavar="VALUE")


def run(arguments: argparse.Namespace) -> None:
    """Serve until told to stop; exit with a non-zero status when the engine or the encoder has died."""
    # Until the server takes over: as a container's first process, this one ignores unhandled signals.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    settings = load_settings(arguments.settings, **given_settings(arguments))
    stream = capture_output() if settings.log_format == "json" else None
    configure_logs(settings.log_format, stream)
    folder = resolve_model(settings.model, settings.cache_dir)
    validate(folder)
    set_environment(folder)
    vllm_arguments = parse_vllm_flags(folder, settings, arguments.vllm_flags)
    if warning := disable_compilation(vllm_arguments):
        say(warning)
    _prepare_platform(settings)
    if settings.encoder_dtype == "auto" and vllm_arguments.dtype in ("float32", "float"):
        # Exact arithmetic is asked for: the encoder's as well.
        settings = settings.model_copy(update={"encoder_dtype": "float32"})
    listener = bind(vllm_arguments)
    sys.setswitchinterval(SWITCH_SECONDS)
    import uvloop

    from service.serve.server import Server

    async def serve() -> int:
        return await Server(folder, settings, vllm_arguments, listener).run()

    sys.exit(uvloop.run(serve()))


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the command line gives, by name."""
    values = {name: getattr(arguments, f"setting_{name}") for name in Settings.model_fields}
    return {name: value for name, value in values.items() if value is not None}


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
