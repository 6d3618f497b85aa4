"""The language model of an import: a Hugging Face Llama folder, looked at before it is relied on."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from service.checkpoints.lora import LoraUpdate, check_updates
from service.errors import CheckpointError
from service.families import FamilyName
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import Checkpoint, read_checkpoint
from service.tensors.writing import write_shards

Placement = Literal["reference", "link", "copy"]

MAX_DELTA_NORM = 0.1
"""Root mean square of the final norm's weight below which a folder holds differences to LLaMA.

The norm multiplies every output by its weight: about 1 when training starts, above 1 in LLaMA. The
difference of two trainings of it is below 0.01.
"""
LLAMA2_CONTEXT, LLAMA2_EPS = 4096, 1e-5
CONFIG_FILES = ("config.json", "generation_config.json")

_LAYER_WEIGHTS = (
    "input_layernorm",
    "post_attention_layernorm",
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
)


@dataclass(frozen=True)
class LanguageModel:
    """A language model that was given by path or hub id.

    Attributes:
        source: As the user gave it.
        folder: Where its files are; of a hub id only those that were fetched.
        config: Its ``config.json``.
        weights: None where only a hub id is known: the engine will download them.
    """

    source: str
    folder: Path
    config: Mapping[str, Any]
    weights: Checkpoint | None
    is_hub_id: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def hidden_size(self) -> int:
        """Width of its embeddings."""
        return int(self.config["hidden_size"])

    @property
    def config_files(self) -> list[Path]:
        """Its configurations, as far as it has them."""
        return [self.folder / name for name in CONFIG_FILES if (self.folder / name).is_file()]

    @property
    def is_pickled(self) -> bool:
        """Whether its weights are in ``.bin`` files, which the service does not load."""
        files = self.weights.files if self.weights else []
        return any(file.suffix == ".bin" for file in files)

    @property
    def vocabulary(self) -> int:
        """Rows of its embedding table."""
        return int(self.config["vocab_size"])


def open_language_model(
    source: str, folder: Path, family: FamilyName, is_hub_id: bool, *, with_weights: bool
) -> LanguageModel:
    """Read and check a language model's configuration and, where they are there, its weights' headers.

    Raises:
        CheckpointError: it is no Llama, incomplete, or delta weights.
    """
    config = _read_config(folder)
    weights = read_checkpoint(folder) if with_weights else None
    if weights is not None:
        if weights.missing_shards:
            names = ", ".join(shard.name for shard in weights.missing_shards)
            raise CheckpointError(
                f"{folder} is incomplete: {names} missing. Complete the download."
            )
        _check_weights(folder, config, weights.tensors)
    _refuse_delta(source, config, weights)
    return LanguageModel(
        source, folder, config, weights, is_hub_id, version_warnings(source, config, family)
    )


def _read_config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        advice = (
            " It looks like Meta's own format: convert it to Hugging Face's first "
            "(transformers' convert_llama_weights_to_hf)."
            if (folder / "params.json").is_file()
            else ""
        )
        raise CheckpointError(f"{folder} has no config.json: it is no language model.{advice}")
    try:
        config: dict[str, Any] = json.loads(file.read_text())
        if config["model_type"] != "llama":
            raise CheckpointError(
                f"{folder} holds a {config['model_type']} model; MiniGPT-4 needs Vicuna or Llama."
            )
        for key in ("hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads"):
            int(config[key])
        for key in ("max_position_embeddings", "rms_norm_eps"):
            float(config.get(key) or 0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is no Llama configuration: {error}") from error
    return config


def _check_weights(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, LazyTensor]
) -> None:
    if "quantization_config" in config:
        return  # other names and shapes, one set for each method: the engine checks them
    expected = {"model.embed_tokens.weight", "model.norm.weight"}
    if not config.get("tie_word_embeddings"):
        expected.add("lm_head.weight")
    # No more layers than tensors are looked for, whatever the configuration says.
    for layer in range(min(int(config["num_hidden_layers"]), len(tensors))):
        expected |= {f"model.layers.{layer}.{part}.weight" for part in _LAYER_WEIGHTS}
    missing = sorted(expected - tensors.keys())
    superfluous = sorted(
        name
        for name in tensors.keys() - expected
        if not name.endswith("rotary_emb.inv_freq") and name != "lm_head.weight"
    )
    problems = [f"missing: {name}" for name in missing]
    problems += [f"unexpected: {name}" for name in superfluous]
    table = tensors.get("model.embed_tokens.weight")
    wanted = (int(config["vocab_size"]), int(config["hidden_size"]))
    if table is not None and table.shape != wanted:
        problems.append(f"model.embed_tokens.weight is {table.shape}, config.json needs {wanted}")
    if problems:
        raise CheckpointError(
            f"{folder} is not the Llama that its config.json describes:\n  " + shortened(problems)
        )


def shortened(lines: list[str], most: int = 40) -> str:
    """An indented list for a message; says how many lines it left out."""
    left_out = [f"... and {len(lines) - most} more"] if len(lines) > most else []
    return "\n  ".join([*lines[:most], *left_out])


def _refuse_delta(source: str, config: Mapping[str, Any], weights: Checkpoint | None) -> None:
    names = (Path(source).name, str(config.get("_name_or_path", "")))
    by_name = any(re.search(r"(^|[-_./])delta([-_./]|$)", name.lower()) for name in names)
    norm = weights.tensors.get("model.norm.weight") if weights is not None else None
    scale = None if norm is None else norm.load().float().square().mean().sqrt().item()
    # Merged weights may sit in a folder that still has the old name: where there are weights, they count.
    if by_name if scale is None else scale < MAX_DELTA_NORM:
        reason = (
            "by its name"
            if scale is None
            else f"its final norm's weight is {scale:.4f} on average, where a language model has about 1"
        )
        raise CheckpointError(
            f"{source} holds delta weights ({reason}): the differences between Vicuna and LLaMA, which "
            "answer with nonsense. Add them to LLaMA's weights of the same size first (`python -m "
            f"fastchat.model.apply_delta --base LLAMA --delta {source} --target VICUNA`), then give "
            "the result; or give a folder of Vicuna v0 that is already whole."
        )


def version_warnings(source: str, config: Mapping[str, Any], family: FamilyName) -> list[str]:
    """What does not stop an import, although answers will suffer."""
    named = f"{Path(source).name} {config.get('_name_or_path', '')}".lower()
    version = re.search(r"v?1[._](1|3|5)\b", named) if "vicuna" in named else None
    is_llama2 = (
        float(config.get("max_position_embeddings") or 0) >= LLAMA2_CONTEXT
        or float(config.get("rms_norm_eps") or 0) == LLAMA2_EPS
    )
    if family == "minigpt4-vicuna" and (version or is_llama2):
        found = f"v1.{version[1]}" if version else "v1.5, or another model made from Llama-2"
        return [
            f"The language model looks like Vicuna {found}. The published projections were trained "
            "with Vicuna v0: it will answer, but worse, and it was taught another conversation format."
        ]
    if family != "minigpt4-vicuna" and not is_llama2 and config.get("max_position_embeddings"):
        return [
            "The language model looks like LLaMA-1 or Vicuna v0; this family's published checkpoints "
            "were trained with Llama-2-chat 7B."
        ]
    return []


def place(model: LanguageModel, placement: Placement, target: Path) -> str:
    """Put the language model into a new model folder; returns what its index says.

    Args:
        target: ``language_model/`` of the new folder; created unless the model is only referenced.

    Raises:
        CheckpointError: a hard link is impossible (another file system).
    """
    if placement == "reference":
        return model.source if model.is_hub_id else str(model.folder)
    if model.weights is None:
        raise AssertionError("placing a language model whose weights were not fetched: a bug")
    target.mkdir()
    for file in [*model.config_files, *model.weights.files]:
        try:
            if placement == "link":
                # Of the hub's cache the file itself, not the link to it.
                os.link(file.resolve(), target / file.name)
            else:
                shutil.copyfile(file, target / file.name)
        except OSError as error:
            raise CheckpointError(
                f"{file} cannot be put into {target}: {error.strerror}. Hard links need the same file "
                "system; --llm-files copy or reference work everywhere."
            ) from error
    return target.name


def write_anew(model: LanguageModel, updates: Mapping[str, LoraUpdate], target: Path) -> str:
    """Write the language model as safetensors, its updates added; returns what the index says.

    Args:
        target: ``language_model/`` of the new folder; created.
    """
    if model.weights is None:
        raise AssertionError("writing a language model whose weights were not fetched: a bug")
    target.mkdir()
    for file in model.config_files:
        shutil.copyfile(file, target / file.name)
    write_shards(
        target,
        {
            name: _planned(entry, updates.get(name))
            for name, entry in model.weights.tensors.items()
            if not name.endswith("rotary_emb.inv_freq")
        },
    )
    return target.name


def check_mergeable(model: LanguageModel, updates: Mapping[str, LoraUpdate]) -> None:
    """Refuse what merging could not do; raises :class:`CheckpointError`."""
    if "quantization_config" in model.config:
        raise CheckpointError(
            f"{model.source} is quantised; MiniGPT-v2's LoRA weights can be added to unquantised "
            "weights only. Give Llama-2-chat 7B in float16, and quantise the result."
        )
    check_updates(updates, model.weights.tensors if model.weights else {})


def _planned(entry: LazyTensor, update: LoraUpdate | None) -> LazyTensor:
    if update is None:
        return entry
    return LazyTensor(entry.shape, entry.dtype, lambda: update.merged(entry.load()))
