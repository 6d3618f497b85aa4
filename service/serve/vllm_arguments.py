"""vLLM's flags, parsed and checked before anything is loaded."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from service.engine.flags import default_name, gives_flag, vllm_flags, with_config_file
from service.errors import AdapterError, SettingsError
from service.model_folder.adapter import check_adapter
from service.model_folder.layout import ModelFolder
from service.plugin.names import TOKENIZER_MODE, TOOL_PARSER
from service.serve.arguments import DEFAULT_HOST
from service.settings import Settings

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
        "the service does not have its routes",
    ),
    "headless": "nodes without HTTP run plain `vllm serve --headless`",
    "enable_offline_docs": "the documentation at /docs always works offline",
}
"""vLLM's flags that have no effect in this service, each with the reason. The service refuses them."""

FIXED = {
    "tokenizer_mode": (TOKENIZER_MODE, "the service's own renderer is selected by it"),
    "mm_processor_cache_gb": (0, "images reach the engine as embeddings, which it does not cache"),
}
"""Flags with only one possible value, each with the reason."""


def parse_vllm_flags(
    folder: ModelFolder, settings: Settings, flags: Sequence[str]
) -> argparse.Namespace:
    """Parse vLLM's flags: our defaults, and the user's flags, which have precedence.

    Raises:
        SettingsError: a flag is unknown or not served, has a wrong value, or contradicts another one.
    """
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.platforms import current_platform
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser(prog="minigpt4-service serve"))
    # argparse would print vLLM's usage, hundreds of lines, and exit.
    parser.error = _refuse  # type: ignore[method-assign]
    parser.set_defaults(host=DEFAULT_HOST)
    given = with_config_file(flags, parser.load_config_file)
    name, cpu = default_name(folder), current_platform.is_cpu()
    arguments = parser.parse_args(vllm_flags(folder, settings, name, given, cpu))
    if arguments.model_tag:
        _refuse(f"{arguments.model_tag!r} does not belong to a flag.")
    try:
        validate_parsed_serve_args(arguments)
    except (ValueError, TypeError) as error:
        raise SettingsError(str(error)) from None
    _check_served(arguments, parser)
    if "--enable-auto-tool-choice" in given and arguments.tool_call_parser == TOOL_PARSER:
        raise SettingsError(
            "--enable-auto-tool-choice needs --tool-call-parser, with a model that calls tools."
        )
    _check_adapters(arguments, folder)
    # Our default is for batches only: clients may name priorities where the operator asks for priorities.
    arguments.client_priorities = gives_flag(given, "scheduling-policy")
    return arguments


def _refuse(message: str) -> NoReturn:
    raise SettingsError(message.removeprefix("argument "))


def _check_served(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    for name, reason in NOT_SERVED.items():
        if getattr(arguments, name) != parser.get_default(name):
            raise SettingsError(f"{_flag(name)} is not served: {reason}.")
    for name, (value, reason) in FIXED.items():
        if getattr(arguments, name) != value:
            raise SettingsError(f"{_flag(name)} can only be {value}: {reason}.")


def _check_adapters(arguments: argparse.Namespace, folder: ModelFolder) -> None:
    """Raise :class:`SettingsError` for an adapter that does not fit; the engine would say so after minutes."""
    modules = arguments.lora_modules or []
    if modules and not arguments.enable_lora:
        raise SettingsError("--lora-modules needs --enable-lora.")
    if not folder.language_model_is_local:
        return
    config = json.loads((Path(folder.language_model) / "config.json").read_text())
    for module in modules:
        if Path(module.path).exists():  # otherwise it is on the hub
            try:
                check_adapter(Path(module.path), config, arguments.max_lora_rank)
            except AdapterError as error:
                raise SettingsError(f"--lora-modules {module.name}: {error}") from error


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
