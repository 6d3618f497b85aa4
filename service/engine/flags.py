"""The flags vLLM is started with: this project's defaults first, the user's after, so theirs win."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.families import DEFAULT_SAMPLING
from service.model_folder.layout import ModelFolder
from service.observability.logs import vllm_logging_flags
from service.plugin.names import ARCHITECTURE, CONFIG_KEY, TOKENIZER_MODE
from service.settings import Settings

CPU_FLAGS = [
    # Compiling takes half of the start-up and made decoding no faster (docs/performance.md).
    "--enforce-eager",
    # The default of 128 is longer than most of these prompts, so that no prefix would ever be reused.
    "--block-size",
    "32",
]


def vllm_flags(
    folder: ModelFolder, settings: Settings, name: str, user_flags: Sequence[str], cpu: bool
) -> list[str]:
    """A whole ``vllm serve`` command line for a model folder.

    Args:
        name: Model name that clients use.
        user_flags: Flags from the command line, passed on as they are.
        cpu: Whether the engine runs on a CPU.
    """
    flags = {
        **model_flags(folder),
        "--served-model-name": name,
        "--limit-mm-per-prompt": json.dumps({"image": settings.images_per_prompt}),
        # The demo's sampling instead of whatever a Vicuna folder's generation_config.json says.
        "--generation-config": "vllm",
        "--override-generation-config": json.dumps({**DEFAULT_SAMPLING, **folder.index.sampling}),
        # Tokenizing and templates run on these threads; one would serialise the requests' text.
        "--renderer-num-workers": "4",
        # An image's embeddings are 0.25 MiB: sending them again costs less than keeping two caches in step.
        "--mm-processor-cache-gb": "0",
        "--max-num-queued-reqs": "512",
        "--shutdown-timeout": "30",
        "--sse-keep-alive-interval": "15",
        "--disable-access-log-for-endpoints": "/health,/ready,/metrics",
    }
    switches = ["--enable-prompt-tokens-details", "--no-use-tqdm-on-load"]
    platform = CPU_FLAGS if cpu else []
    ours = [*_flatten(flags), *switches, *platform, *vllm_logging_flags(settings.log_format)]
    return [*_without(ours, user_flags), *_merge_overrides(folder, user_flags)]


def with_config_file(flags: Sequence[str], load: Callable[[str], list[str]]) -> list[str]:
    """``flags`` without ``--config FILE``, and the file's own before them, as vLLM orders them.

    vLLM would put them before this project's defaults, too, which then win.

    Args:
        load: Reads vLLM's YAML file as flags.

    Raises:
        SettingsError: the file cannot be used.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    given, rest = parser.parse_known_args(flags)
    if given.config is None:
        return rest
    try:
        own = load(given.config)
    except Exception as error:  # whatever the YAML parser raises
        raise SettingsError(f"--config {given.config} cannot be read: {error}") from error
    if "--model" in own:
        raise SettingsError("--config: the model is the model folder that `serve --model` names.")
    return [*own, *rest]


def model_flags(folder: ModelFolder) -> dict[str, str]:
    """What plain ``vllm serve`` needs to serve a model folder with the plugin."""
    return {
        "--model": folder.language_model,
        "--tokenizer": str(folder.tokenizer),
        "--hf-overrides": json.dumps(_hf_overrides(folder)),
        "--chat-template-content-format": "openai",
        "--tokenizer-mode": TOKENIZER_MODE,
    }


def _hf_overrides(folder: ModelFolder) -> dict[str, Any]:
    return {
        "architectures": [ARCHITECTURE],
        CONFIG_KEY: {
            "model_folder": str(folder.root),
            "visual_tokens": folder.index.visual_tokens,
        },
    }


def _without(ours: list[str], user_flags: Sequence[str]) -> list[str]:
    """``ours`` without the flags that the user gives too, of which vLLM would complain."""
    given = {_switch(flag) for flag in user_flags if flag.startswith("--")}
    kept, dropping = [], False
    for word in ours:
        if word.startswith("--"):
            dropping = _switch(word) in given
        if not dropping:
            kept.append(word)
    return kept


def _switch(flag: str) -> str:
    """A flag's name however it is written: ``--no-enforce-eager``, ``--block_size=16``."""
    return flag.partition("=")[0].replace("_", "-").removeprefix("--").removeprefix("no-")


def _merge_overrides(folder: ModelFolder, user_flags: Sequence[str]) -> list[str]:
    """A user's --hf-overrides adds to ours instead of replacing it."""
    flags = list(user_flags)
    for index, flag in enumerate(flags):
        if _switch(flag) == "hf-overrides":
            _, equals, value = flag.partition("=")
            try:
                overrides = json.loads(value if equals else flags[index + 1])
            except (ValueError, IndexError):
                raise SettingsError("--hf-overrides needs a JSON object.") from None
            merged = json.dumps({**overrides, **_hf_overrides(folder)})
            flags[index : index + (1 if equals else 2)] = ["--hf-overrides", merged]
            break
    return flags


def _flatten(flags: dict[str, str]) -> list[str]:
    return [word for flag, value in flags.items() for word in (flag, value)]


def default_name(folder: ModelFolder) -> str:
    """The model's name towards clients: its folder's."""
    return Path(folder.root).name
