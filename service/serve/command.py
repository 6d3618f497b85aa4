"""``serve``: settings, environment and vLLM's flags; then :class:`service.serve.server.Server` runs.

Everything that can be checked cheaply is checked here, before anything is loaded.
"""

import argparse
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.errors import ServiceError, SettingsError
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from service.observability.logs import configure_logs
from service.observability.output import capture_output
from service.plugin.names import CONNECTOR_NAME
from service.serve.builtin_models import resolve_model
from service.settings import Settings, load_settings

SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter while another wants it. A request passes between the event
loop and the threads that render and tokenize several times, and waited Python's 5 ms each time."""

NOT_SERVED = {
    **dict.fromkeys(
        ("enable_mm_embeds", "enable_prompt_embeds"),
        "vLLM would unpickle what clients send; --image-embeddings-input does without",
    ),
    **dict.fromkeys(("uds", "grpc", "grpc_port"), "the service speaks HTTP on --host and --port"),
    "enable_ssl_refresh": "certificates are read at the start only",
    **dict.fromkeys(
        ("h11_max_incomplete_event_size", "h11_max_header_count"),
        "a request's head is bounded at 64 KiB",
    ),
    **dict.fromkeys(
        ("tokens_only", "enable_scale_out", "enable_tokenizer_info_endpoint"),
        "its routes are none of the service's",
    ),
    "enable_offline_docs": "the documentation's page loads its scripts from elsewhere",
}
"""vLLM's flags that would do nothing here, each with the reason: better refused than ignored."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One flag a setting; further flags go to vLLM."""
    parser.description = (
        "Serve a model folder. Flags not listed here go to vLLM (see `vllm serve`)."
    )
    parser.add_argument("--settings", type=Path, help="TOML file of settings")
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, dest=f"setting_{name}", help=field.description, metavar="VALUE")


def run(arguments: argparse.Namespace) -> None:
    """Serve until told to stop; exits non-zero when the engine died."""
    # Until the server takes over: a container's first process is not ended by what it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    settings = load_settings(arguments.settings, **given_settings(arguments))
    stream = capture_output() if settings.log_format == "json" else None
    configure_logs(settings.log_format, stream)
    folder = resolve_model(settings.model, settings.cache_dir)
    validate(folder)
    # vLLM reads its environment when it is imported, so it is set before.
    set_environment(folder)
    vllm_arguments = parse_vllm_flags(folder, settings, arguments.vllm_flags)
    _require_libnuma()
    if settings.encoder_dtype == "auto" and vllm_arguments.dtype in ("float32", "float"):
        # Who asks for exact arithmetic means all of it.
        settings = settings.model_copy(update={"encoder_dtype": "float32"})
    listener = _bind(vllm_arguments)
    sys.setswitchinterval(SWITCH_SECONDS)
    import uvloop

    from service.serve.server import Server

    async def serve() -> int:
        return await Server(folder, settings, vllm_arguments, listener).run()

    sys.exit(uvloop.run(serve()))


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that stand on the command line, by name."""
    values = {name: getattr(arguments, f"setting_{name}") for name in Settings.model_fields}
    return {name: value for name, value in values.items() if value is not None}


def set_environment(folder: ModelFolder) -> None:
    """Defaults for what vLLM and Hugging Face read from the environment; the user's values win."""
    defaults = {
        "VLLM_MEDIA_CONNECTOR": CONNECTOR_NAME,
        "VLLM_LOGGING_LEVEL": "ERROR",
        # Libraries' remarks to their developers, in every process.
        "PYTHONWARNINGS": "ignore",
        "TORCH_LOGS": "-all",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        # The engine must not inherit the encoder's threads, which a fork would freeze.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        # vLLM's own limits are for trusted callers: 16384 answers, 1024 prompts in a request.
        "VLLM_MAX_N_SEQUENCES": "16",
        "VLLM_MAX_COMPLETION_PROMPTS": "64",
        "TOKENIZERS_PARALLELISM": "false",
        # Longer than the 60 s of nginx and of load balancers: who closes an idle connection must be the
        # one that sends requests, or some meet a connection that is being closed, and are lost.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75",
    }
    if folder.language_model_is_local:
        defaults["HF_HUB_OFFLINE"] = "1"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if os.environ["PYTHONWARNINGS"] == "ignore":
        warnings.simplefilter("ignore")
        logging.getLogger("torch").setLevel(logging.ERROR)  # torch reads TORCH_LOGS at its import


def parse_vllm_flags(
    folder: ModelFolder, settings: Settings, flags: Sequence[str]
) -> argparse.Namespace:
    """All of vLLM's arguments; raises :class:`SettingsError` where they contradict each other."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.platforms import current_platform
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from service.engine.flags import default_name, vllm_flags, with_config_file

    parser = make_arg_parser(FlexibleArgumentParser(prog="minigpt4-service serve"))
    parser.set_defaults(host="127.0.0.1")
    name = default_name(folder)
    cpu = current_platform.is_cpu()
    given = with_config_file(flags, parser.load_config_file)
    arguments = parser.parse_args(vllm_flags(folder, settings, name, given, cpu))
    try:
        validate_parsed_serve_args(arguments)
    except (ValueError, TypeError) as error:
        raise SettingsError(str(error)) from None
    for flag, reason in NOT_SERVED.items():
        if getattr(arguments, flag) != parser.get_default(flag):
            raise SettingsError(f"--{flag.replace('_', '-')} is not served: {reason}.")
    if arguments.api_server_count not in (None, 1):
        raise SettingsError("One process serves HTTP; run replicas instead of --api-server-count.")
    return arguments


def _require_libnuma() -> None:
    """vLLM's CPU kernels need it and are silently absent without it."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        raise ServiceError(
            "vLLM needs the library libnuma on a CPU. Debian and Ubuntu: apt install libnuma1"
        ) from None


def _bind(arguments: argparse.Namespace) -> socket.socket:
    """Take the port before the minutes of loading, not after."""
    from vllm.entrypoints.launchers.launcher import create_server_socket

    _raise_file_limit()
    try:
        return create_server_socket((arguments.host or "", arguments.port), reuse_port=False)
    except OSError as error:
        raise ServiceError(
            f"{arguments.host}:{arguments.port} cannot be listened on: {error.strerror}."
        ) from None


def _raise_file_limit() -> None:
    """Every connection is a file; take as many as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
