"""BLIP-2 and InstructBLIP folders as a source of the ViT, ``ln_vision`` and the Q-Former.

The layout is that of ``Salesforce/blip2-flan-t5-xxl`` and ``Salesforce/instructblip-vicuna-7b``.
The epsilons in their ``config.json`` are not used, because in early folders they differ from
MiniGPT-4's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.checkpoints.layouts.name_table import NameTable
from service.checkpoints.layouts.qformer import FLAN_T5_XL_WIDTH
from service.errors import CheckpointError

_TEXT = "the Q-Former's text branch"
_OWN_LANGUAGE_MODEL = "BLIP-2's own language model and the projection into it"
BLIP2_FOLDER = NameTable(
    renamed=[
        ("query_tokens", "query_tokens"),
        ("vision_model.post_layernorm.*", "ln_vision.*"),
        ("vision_model.embeddings.class_embedding", "vit.embeddings.class_embedding"),
        ("vision_model.embeddings.position_embedding", "vit.embeddings.position_embedding"),
        ("vision_model.embeddings.patch_embedding.*", "vit.embeddings.patch_embedding.*"),
        ("vision_model.encoder.layers.#.*.*", "vit.encoder.layers.#.*.*"),
        ("vision_model.encoder.layers.#.*.*.*", "vit.encoder.layers.#.*.*.*"),
        ("qformer.layernorm.*", "qformer.layernorm.*"),
        # In InstructBLIP queries and text share one norm.
        ("qformer.embeddings.layernorm.*", "qformer.layernorm.*"),
        *(
            (f"qformer.encoder.layer.#.{part}", f"qformer.encoder.layer.#.{part}")
            for part in (
                "attention.attention.*.*",
                "attention.output.*.*",
                "crossattention.attention.*.*",
                "crossattention.output.*.*",
                "intermediate_query.dense.*",
                "output_query.*.*",
            )
        ),
    ],
    ignored=[
        ("qformer.encoder.layer.#.intermediate.dense.*", _TEXT),
        ("qformer.encoder.layer.#.output.*.*", _TEXT),
        ("qformer.embeddings.word_embeddings.weight", _TEXT),
        ("qformer.embeddings.position_embeddings.weight", _TEXT),
        ("qformer.embeddings.position_ids", "a table of 0, 1, 2, ..."),
        ("language_projection.*", _OWN_LANGUAGE_MODEL),
        ("language_model.**", _OWN_LANGUAGE_MODEL),
    ],
)
NEEDED_PREFIXES = ("query_tokens", "vision_model.", "qformer.")
"""Prefixes of the tensors that an import reads; only shards with such tensors are downloaded."""


@dataclass(frozen=True)
class Blip2Config:
    """Facts in ``config.json`` that the tensors do not show.

    Attributes:
        model_type: ``blip-2`` or ``instructblip``.
        other_origin: As from :func:`service.checkpoints.layouts.qformer.find_other_origin`.
    """

    model_type: str
    vit_heads: int | None
    qformer_heads: int | None
    other_origin: str | None


def read_blip2_config(folder: Path) -> Blip2Config:
    """Read ``config.json``; raises :class:`CheckpointError` when the folder holds another model."""
    file = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(file.read_text())
        model_type = str(config["model_type"])
        vision, qformer = config.get("vision_config") or {}, config.get("qformer_config") or {}
        result = Blip2Config(
            model_type,
            vision.get("num_attention_heads"),
            qformer.get("num_attention_heads"),
            _find_other_origin(config.get("text_config") or {}),
        )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{file} cannot be read as a BLIP-2 configuration: {error}"
        ) from error
    if model_type not in ("blip-2", "instructblip"):
        raise CheckpointError(f"{folder} holds a {model_type} model, not BLIP-2 or InstructBLIP.")
    return result


def _find_other_origin(language_model: Mapping[str, Any]) -> str | None:
    kind = str(language_model.get("model_type", "t5"))
    if kind != "t5":
        return kind
    return "FLAN-T5 XL" if language_model.get("d_model") == FLAN_T5_XL_WIDTH else None
