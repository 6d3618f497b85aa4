"""The flags of ``serve``: one for each setting, in groups, and the most needed flags of vLLM."""

import argparse
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.settings import Settings

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000

FIRST = "the flags that people need first"
PROJECTIONS = "projections and adapters by name"

GROUPS: dict[str, tuple[str, ...]] = {
    FIRST: ("model", "api_keys_file", "encoder_device", "log_format", "cache_dir"),
    "API keys and the page": ("isolate_keys", "usage_file", "page"),
    "requests": ("request_", "images_per_prompt", "refuse_long_answers"),
    "images": ("image_", "decode_threads"),
    "vision encoder": ("encoder_", "embedding_cache_mb"),
    "uploaded files": ("files_",),
    PROJECTIONS: ("projections", "adapter"),
    "health": ("hang_",),
    "other settings": ("",),
}
"""For each group the names of its settings, or the beginnings of their names. The first match
decides."""

PASSED_ON = {
    "max_model_len": (
        "TOKENS",
        "Longest prompt and answer together. Default: the model's context.",
    ),
    "dtype": ("DTYPE", "Number format of the language model: `auto`, `bfloat16`, `float32` ..."),
    "gpu_memory_utilization": ("FRACTION", "Part of the GPU's memory that vLLM takes."),
}
"""Flags of vLLM that the help lists among the first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare one flag for each setting; further flags go to vLLM."""
    parser.usage = "%(prog)s [--model FOLDER] [--port PORT] [OPTIONS]"
    parser.description = (
        "Serve a model folder. A setting comes from its flag, else from the environment "
        "(MINIGPT4_ENCODER_QUEUE for --encoder-queue), else from the file of --settings. "
        "vLLM's own flags are accepted as well; docs/reference/settings.md says how to list them."
    )
    groups = {title: parser.add_argument_group(title) for title in GROUPS}
    by_group: dict[str, list[str]] = {title: [] for title in GROUPS}
    for name in Settings.model_fields:
        by_group[_group_of(name)].append(name)
    for name in by_group[FIRST][:1]:
        _add_setting(groups[FIRST], name)
    _add_first_flags(groups[FIRST])
    groups[PROJECTIONS].add_argument(
        "--projection",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="A projection to serve by name; may be given several times.",
    )
    for title, group in groups.items():
        for name in by_group[title][1 if title == FIRST else 0 :]:
            _add_setting(group, name)


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the command line gives, by name."""
    values = {name: getattr(arguments, f"setting_{name}") for name in Settings.model_fields}
    given = {name: value for name, value in values.items() if value is not None}
    if arguments.projection:
        if "projections" in given:
            raise SettingsError("Give --projection or --projections, not both.")
        given["projections"] = dict(map(_split_projection, arguments.projection))
    return given


def given_vllm_flags(arguments: argparse.Namespace) -> list[str]:
    """Return the flags for vLLM: unknown ones, and those that the help lists among the first."""
    flags = list(arguments.vllm_flags)
    for name in ("host", "port", *PASSED_ON):
        if (value := getattr(arguments, name)) is not None:
            flags += [_flag(name), str(value)]
    return flags


def _split_projection(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise SettingsError(f"--projection {text}: give NAME=FILE.")
    return name, file


def _group_of(name: str) -> str:
    return next(title for title, starts in GROUPS.items() if name.startswith(starts))


def _add_first_flags(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--host", help=f"Address to listen on. Default: {DEFAULT_HOST}.")
    group.add_argument(
        "--port", type=parse_port, help=f"Port to listen on. Default: {DEFAULT_PORT}."
    )
    group.add_argument("--settings", type=Path, metavar="FILE", help="TOML file of settings.")
    for name, (metavar, text) in PASSED_ON.items():
        group.add_argument(_flag(name), metavar=metavar, help=text)


def _add_setting(group: "argparse._ArgumentGroup", name: str) -> None:
    field = Settings.model_fields[name]
    shown = _show_default(field.default)
    group.add_argument(
        _flag(name),
        dest=f"setting_{name}",
        help=f"{field.description} Default: {shown}.".replace("%", "%%"),
        metavar=_metavar(field.annotation),
    )


def parse_port(text: str) -> int:
    """Read a TCP port; raises argparse's error, which names the flag."""
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535")
    return int(text)


def _show_default(default: object) -> str:
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, frozenset):
        return "[]"
    return str(default).replace(str(Path.home()), "~")


def _metavar(annotation: Any) -> str:
    if annotation is bool:
        return "true|false"
    if annotation in (int, float):
        return "N"
    if annotation in (Path, Path | None):
        return "PATH"
    return "VALUE"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
