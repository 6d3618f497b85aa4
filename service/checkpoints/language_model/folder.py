"""A Hugging Face Llama folder or hub id: its configuration, and its weights' headers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.checkpoints.language_model.checks import check_weights, refuse_delta, warn_of_version
from service.checkpoints.language_model.quantisation import check_quantised_weights
from service.errors import CheckpointError
from service.families import FamilyName
from service.model_folder.quantisation import KEY, OLD_FILES, read_quantisation
from service.tensors.reading import Checkpoint, read_checkpoint

CONFIG_FILES = ("config.json", "generation_config.json", *OLD_FILES)


@dataclass(frozen=True)
class LanguageModel:
    """A language model that the user gave by path or hub id.

    Attributes:
        source: The path or hub id as the user gave it.
        folder: Where its files are; for a hub id, the downloaded files only.
        config: Its ``config.json``.
        weights: None for a hub id whose weights the engine will download.
        warnings: For the user.
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
    def vocabulary(self) -> int:
        """Number of rows in its embedding table."""
        return int(self.config["vocab_size"])

    @property
    def config_files(self) -> list[Path]:
        """The configuration files that it has."""
        return [self.folder / name for name in CONFIG_FILES if (self.folder / name).is_file()]

    @property
    def is_pickled(self) -> bool:
        """Whether its weights are in ``.bin`` files, which the service does not load."""
        files = self.weights.files if self.weights else []
        return any(file.suffix == ".bin" for file in files)


def open_language_model(
    source: str, folder: Path, family: FamilyName, is_hub_id: bool, *, with_weights: bool
) -> LanguageModel:
    """Read and check a language model's configuration and, if asked, its weights' headers.

    Raises:
        CheckpointError: it is not a Llama, is incomplete, or holds delta weights.
    """
    config = _read_config(folder)
    quantisation = read_quantisation(folder, config)
    if quantisation is not None:
        config = {**config, KEY: quantisation}
    weights = read_checkpoint(folder) if with_weights else None
    if weights is not None:
        if weights.missing_shards:
            names = ", ".join(shard.name for shard in weights.missing_shards)
            raise CheckpointError(
                f"{folder} is incomplete: {names} missing. Complete the download."
            )
        if quantisation is None:
            check_weights(folder, config, weights.tensors)
        else:
            check_quantised_weights(folder, config, quantisation, weights.tensors)
    refuse_delta(source, config, weights)
    return LanguageModel(
        source, folder, config, weights, is_hub_id, warn_of_version(source, config, family)
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
        raise CheckpointError(f"{folder} has no config.json: it is not a language model.{advice}")
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
        raise CheckpointError(f"{file} is not a Llama configuration: {error}") from error
    return config
