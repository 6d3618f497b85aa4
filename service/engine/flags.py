"""The flags for vLLM: our defaults first, then the user's flags, which have precedence."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.families import DEFAULT_SAMPLING
from service.model_folder.layout import ModelFolder
from service.model_folder.quantisation import KEY, read_quantisation
from service.observability.logs import vllm_logging_flags
from service.plugin.names import ARCHITECTURE, CONFIG_KEY, TOKENIZER_MODE, TOOL_PARSER
from service.settings import Settings

CPU_FLAGS = [
    # Compiling takes half of the start-up time and did not make decoding faster.
    "--enforce-eager",
    # Only whole blocks are reused as prefixes, and most prompts are shorter than the default of
    # 128.
    "--block-size",
    "32",
]

GRAPH_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512)
"""Batch sizes for which CUDA graphs are captured. vLLM's own list has three times as many: every
eighth size. Each graph takes memory, and time at the start."""

GPU_FLAGS = ["--cudagraph-capture-sizes", *map(str, GRAPH_SIZES)]

ROOM_FOR_ENCODER = ["--gpu-memory-utilization", "0.85"]
"""vLLM's 0.92 leaves 1.9 GB of a GPU with 24 GB, and the encoder's weights alone take 2 GB. Engine and
encoder load at the same time, so the one that came second would find too little memory."""

OTHER_GRAPH_FLAGS = ("max-cudagraph-capture-size", "compilation-config", "cc", "O", "enforce-eager")
"""If the user gives one of these flags, ours about graphs are left out."""


def vllm_flags(
    folder: ModelFolder, settings: Settings, name: str, user_flags: Sequence[str], cpu: bool
) -> list[str]:
    """All flags of ``vllm serve`` for a model folder.

    Args:
        name: Model name that clients use.
        user_flags: Flags from the command line, passed on as they are.
        cpu: Whether the engine runs on a CPU.
    """
    flags = {
        **model_flags(folder),
        "--served-model-name": name,
        "--limit-mm-per-prompt": json.dumps({"image": settings.images_per_prompt}),
        # The original demo's sampling, not the one in the language model's generation_config.json.
        "--generation-config": "vllm",
        "--override-generation-config": json.dumps({**DEFAULT_SAMPLING, **folder.index.sampling}),
        # Templates and tokenizers run on these threads. With one thread, requests would wait for
        # each other.
        "--renderer-num-workers": "4",
        # An image's embeddings have 0.25 MiB. To send them again is cheaper than to keep two caches
        # equal.
        "--mm-processor-cache-gb": "0",
        # Serves functions that a client names, as structured output. vLLM loads no parser without
        # the switch below.
        "--tool-call-parser": TOOL_PARSER,
        "--max-num-queued-reqs": "512",
        # The lines of batches wait for all other requests, and give up their memory first.
        "--scheduling-policy": "priority",
        "--shutdown-timeout": "30",
        "--sse-keep-alive-interval": "15",
        "--disable-access-log-for-endpoints": "/health,/ready,/metrics",
    }
    switches = [
        "--enable-prompt-tokens-details",
        "--no-use-tqdm-on-load",
        "--enable-auto-tool-choice",
    ]
    platform = CPU_FLAGS if cpu else _gpu_flags(user_flags)
    if not cpu and settings.encoder_device != "cpu":
        platform = [*platform, *ROOM_FOR_ENCODER]
    ours = [*_flatten(flags), *switches, *platform, *vllm_logging_flags(settings.log_format)]
    return [*_without(ours, user_flags), *_merge_overrides(folder, user_flags)]


def _gpu_flags(user_flags: Sequence[str]) -> list[str]:
    chosen = {_switch(flag).lstrip("-").partition(".")[0] for flag in user_flags if flag[0] == "-"}
    chosen |= {"O" for flag in user_flags if flag.startswith("-O")}
    return [] if chosen & set(OTHER_GRAPH_FLAGS) else GPU_FLAGS


def with_config_file(flags: Sequence[str], load: Callable[[str], list[str]]) -> list[str]:
    """Replace ``--config FILE`` in ``flags`` by the file's own flags, before all others.

    vLLM would put them before our defaults, which would then have precedence.

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
    except Exception as error:  # the YAML parser raises many kinds
        raise SettingsError(f"--config {given.config} cannot be read: {error}") from error
    if "--model" in own:
        raise SettingsError("--config: the model is the model folder that `serve --model` names.")
    return [*own, *rest]


def model_flags(folder: ModelFolder) -> dict[str, str]:
    """The flags that plain ``vllm serve`` needs for a model folder and the plugin."""
    return {
        "--model": folder.language_model,
        "--tokenizer": str(folder.tokenizer),
        "--hf-overrides": json.dumps(_hf_overrides(folder)),
        "--chat-template-content-format": "openai",
        "--tokenizer-mode": TOKENIZER_MODE,
    }


def _hf_overrides(folder: ModelFolder) -> dict[str, Any]:
    return {
        **_old_quantisation(folder),
        "architectures": [ARCHITECTURE],
        CONFIG_KEY: {
            "model_folder": str(folder.root),
            "visual_tokens": folder.index.visual_tokens,
            "architecture": folder.index.architecture,
        },
    }


def _old_quantisation(folder: ModelFolder) -> dict[str, Any]:
    """Return the quantisation method from the file beside ``config.json`` that older folders have.

    vLLM reads this file only if ``--quantization`` names the method.
    """
    if not folder.language_model_is_local:
        return {}
    root = Path(folder.language_model)
    config = json.loads((root / "config.json").read_text())
    quantisation = None if config.get(KEY) else read_quantisation(root, config)
    return {} if quantisation is None else {KEY: quantisation}


def _without(ours: list[str], user_flags: Sequence[str]) -> list[str]:
    """``ours`` without the flags that the user gives; vLLM warns about duplicate flags."""
    given = {_switch(flag) for flag in user_flags if flag.startswith("--")}
    kept, dropping = [], False
    for word in ours:
        if word.startswith("--"):
            dropping = _switch(word) in given
        if not dropping:
            kept.append(word)
    return kept


def gives_flag(flags: Sequence[str], name: str) -> bool:
    """Whether ``flags`` contain the flag ``name`` (without ``--``) in any form."""
    return name in {_switch(flag) for flag in flags if flag.startswith("--")}


def _switch(flag: str) -> str:
    """The name of a flag in any of its forms: ``--no-enforce-eager``, ``--block_size=16``."""
    return flag.partition("=")[0].replace("_", "-").removeprefix("--").removeprefix("no-")


def _merge_overrides(folder: ModelFolder, user_flags: Sequence[str]) -> list[str]:
    """Add a user's ``--hf-overrides`` to ours instead of replacing them."""
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
    """Return the model's name for clients: the name of its folder."""
    return Path(folder.root).name
