"""Model folders without a language model's weights, which take seconds to write."""

from dataclasses import replace
from pathlib import Path

import torch

from loadtests.systems import blip2_folder
from service.checkpoints.random_model import SIZES, LlamaShape, make_vision_config, write_model
from service.families import FAMILIES
from service.model_folder.layout import ModelFolder

FAMILY = FAMILIES["minigpt4-vicuna"]
BYTES_PER_WEIGHT = 2


def make_folder(work: Path, size: str) -> ModelFolder:
    """Write a model folder with a random encoder; use an existing one again."""
    folder = work / f"model-{size}"
    if not folder.exists():
        tiny = size == "tiny"
        dtype = torch.float32 if tiny else torch.bfloat16
        vision = make_vision_config(FAMILY, size)
        write_model(folder, FAMILY, vision, shape(size), dtype, language_model_weights=False)
    return ModelFolder.open(folder)


def make_peer_folder(folder: ModelFolder, work: Path) -> None:
    """Write the folder of the same sizes that vLLM's own BLIP-2 is started with."""
    blip2_folder(folder, work, weights=False)


def shape(size: str) -> LlamaShape:
    """Return the sizes of a language model. A vocabulary is larger than the tokenizer's."""
    known = SIZES[size]
    return replace(known, vocabulary=3 * known.vocabulary) if size == "tiny" else known


def decoded_bytes(size: str) -> int:
    """Return the bytes of weights that each decoding step reads: not those of the embeddings."""
    llama = shape(size)
    layer = 4 * llama.hidden_size**2 + 3 * llama.hidden_size * llama.intermediate_size
    return BYTES_PER_WEIGHT * (llama.layers * layer + llama.vocabulary * llama.hidden_size)
