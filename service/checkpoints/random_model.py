"""Model folders with seeded random weights, tiny or at the published sizes.

Tiny folders are for tests and first steps. Full-size ones measure speed and memory without
published checkpoints. Their answers mean nothing.
"""

from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from service import __version__
from service.checkpoints.random_weights import draw_weight, fill_randomly
from service.errors import ModelFolderError
from service.families import FAMILIES, Family
from service.model_folder.layout import ModelIndex, Provenance, write_index
from service.model_folder.vision_config import QFormerShape, VisionConfig, ViTShape
from service.prompt.tokenizer import train_tokenizer, write_tokenizer
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.writing import write_shards
from service.vision.model import VisionEncoder
from service.vision.weights import save_vision_encoder

TINY_VOCABULARY = 1024
LLAMA_VOCABULARY = 32000


@dataclass(frozen=True)
class LlamaShape:
    """Sizes of a Llama that ``init-model`` can write."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    vocabulary: int
    context: int


SIZES = {
    "tiny": LlamaShape(128, 352, 2, 4, TINY_VOCABULARY, 2048),
    "7b": LlamaShape(4096, 11008, 32, 32, LLAMA_VOCABULARY, 2048),
    "13b": LlamaShape(5120, 13824, 40, 40, LLAMA_VOCABULARY, 2048),
}
TINY_VIT = ViTShape(
    hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2
)
TINY_QFORMER = QFormerShape(
    hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2
)


def init_model(folder: Path, family_name: str, size: str, seed: int = 0) -> None:
    """Write a complete model folder with random weights.

    Tiny weights are float32, because tests compare numbers; full-size ones are bfloat16.

    Raises:
        ModelFolderError: the folder exists and is not empty.
    """
    family = FAMILIES[family_name]
    write_model(
        folder,
        family,
        make_vision_config(family, size),
        SIZES[size],
        torch.float32 if size == "tiny" else torch.bfloat16,
        seed,
        note=f"Random weights, seed {seed}, size {size}: its answers mean nothing.",
    )


def write_model(
    folder: Path,
    family: Family,
    config: VisionConfig,
    llama: LlamaShape,
    dtype: torch.dtype,
    seed: int = 0,
    note: str = "Random weights: its answers mean nothing.",
    language_model_weights: bool = True,
) -> None:
    """Write a model folder of any sizes with random weights.

    Args:
        language_model_weights: Without them the folder takes seconds to write, and vLLM needs
            ``--load-format dummy``.
        note: Says in the index what the weights are.

    Raises:
        ModelFolderError: the folder exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ModelFolderError(f"{folder} is not empty; give a new folder.")
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    _write_vision(config, folder / "vision", dtype, generator)
    corpus = files("service.prompt").joinpath("tiny_corpus.txt").read_text("utf-8").splitlines()
    write_tokenizer(train_tokenizer(corpus, TINY_VOCABULARY), family, folder / "tokenizer")
    _write_language_model(
        llama, folder / "language_model", dtype, generator if language_model_weights else None
    )
    index = ModelIndex(
        family=family.name,
        image_size=config.image_size,
        visual_tokens=config.visual_tokens,
        provenance=Provenance(
            made_by=f"init-model {__version__}",
            notes=[note],
        ),
    )
    write_index(folder, index)


def make_vision_config(family: Family, size: str) -> VisionConfig:
    """Return the sizes of a family's encoder at ``tiny``, ``7b`` or ``13b``."""
    tiny = size == "tiny"
    qformer = (TINY_QFORMER if tiny else QFormerShape()) if family.uses_qformer else None
    return VisionConfig(
        image_size=family.image_size,
        vit=TINY_VIT if tiny else ViTShape(),
        qformer=qformer,
        hidden_size=SIZES[size].hidden_size,
    )


def _write_vision(
    config: VisionConfig, folder: Path, dtype: torch.dtype, generator: torch.Generator
) -> None:
    with torch.device("meta"):
        encoder = VisionEncoder(config)
    encoder = encoder.to(dtype).to_empty(device="cpu")
    fill_randomly(encoder, generator)
    save_vision_encoder(encoder, folder)


def _write_language_model(
    shape: LlamaShape, folder: Path, dtype: torch.dtype, generator: torch.Generator | None
) -> None:
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=1e-6,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        dtype=dtype,
        architectures=["LlamaForCausalLM"],
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(dtype)  # type: ignore[arg-type]
    folder.mkdir()
    config.save_pretrained(folder)
    GenerationConfig(bos_token_id=1, eos_token_id=2).save_pretrained(folder)
    if generator is None:
        save_file({"lm_head.weight": torch.zeros(1)}, folder / "model.safetensors")
        return
    # One tensor at a time, because a 13B model is larger than most machines' memory.
    write_shards(
        folder,
        {
            name: LazyTensor(
                tuple(weight.shape), dtype, partial(draw_weight, name, weight, generator)
            )
            for name, weight in model.named_parameters()
        },
    )
