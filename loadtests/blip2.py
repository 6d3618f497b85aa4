"""Export a model folder as a BLIP-2 folder, which vLLM serves with its own model class.

BLIP-2 has one image in a conversation, and the image's tokens are at the start of the prompt.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BlipImageProcessor

from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import load_vision_config
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import read_checkpoint
from service.tensors.writing import write_shards
from service.vision.model import PIXEL_MEAN, PIXEL_STD

IMAGE = "<image>"
PREFIXES = {
    "vit.": "vision_model.",
    "ln_vision.": "vision_model.post_layernorm.",
    "query_tokens": "query_tokens",
    "qformer.": "qformer.",
    "projection.": "language_projection.",
}
TEMPLATE = (
    "{% for message in messages %}{{ 'Human: ' if message.role == 'user' else 'Assistant: ' }}"
    "{{ message.content }}###{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def export(source: ModelFolder, target: Path, weights: bool = True) -> None:
    """Write ``target``, and its ``config.json`` last. The family must have a Q-Former.

    Without ``weights`` vLLM needs ``--load-format dummy``.

    Only one tensor is in memory at a time. The weights are copied, because vLLM's model has other
    names for them.
    """
    target.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(source.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(target)
    size = load_vision_config(source.vision).image_size
    BlipImageProcessor(
        size={"height": size, "width": size}, image_mean=PIXEL_MEAN, image_std=PIXEL_STD
    ).save_pretrained(target)
    processor = {"processor_class": "Blip2Processor", "image_processor_type": "BlipImageProcessor"}
    file = target / "preprocessor_config.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**known, **processor}))
    config = _config(source, tokenizer.get_vocab()[IMAGE])
    if weights:
        write_shards(target, _tensors(source, config["text_config"]["vocab_size"]))
    (target / "config.json").write_text(json.dumps(config, indent=2))


def _tensors(source: ModelFolder, vocabulary: int) -> dict[str, LazyTensor]:
    tensors = {}
    for name, entry in read_checkpoint(source.vision / "model.safetensors").tensors.items():
        prefix = next(old for old in PREFIXES if name.startswith(old))
        renamed = PREFIXES[prefix] + name.removeprefix(prefix)
        tensors[renamed] = entry
    for name, entry in read_checkpoint(Path(source.language_model)).tensors.items():
        shape, load = entry.shape, entry.load
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            shape, load = (vocabulary, *shape[1:]), _lengthened(entry, vocabulary)
        tensors[f"language_model.{name}"] = LazyTensor(shape, entry.dtype, load)
    return tensors


def _lengthened(entry: LazyTensor, rows: int) -> Callable[[], torch.Tensor]:
    """Read the embeddings and add a row for the image token. vLLM replaces it before use."""

    def load() -> torch.Tensor:
        tensor = entry.load()
        return torch.cat([tensor, tensor[:1].repeat(rows - len(tensor), 1)])

    return load


def _config(source: ModelFolder, image_token: int) -> dict[str, Any]:
    vision = load_vision_config(source.vision)
    assert vision.qformer is not None, "a family without a Q-Former is not BLIP-2"
    text = json.loads(Path(source.language_model, "config.json").read_text())
    return {
        "architectures": ["Blip2ForConditionalGeneration"],
        "model_type": "blip-2",
        "dtype": text["dtype"],
        "image_token_index": image_token,
        "num_query_tokens": vision.qformer.query_tokens,
        "use_decoder_only_language_model": True,
        # A random or a padded vocabulary is larger than its tokenizer and already has a spare row.
        "text_config": {**text, "vocab_size": max(text["vocab_size"], image_token + 1)},
        "vision_config": {
            **vision.vit.model_dump(),
            "model_type": "blip_2_vision_model",
            "image_size": vision.image_size,
            "hidden_act": "gelu",
            "qkv_bias": True,
        },
        "qformer_config": {
            **vision.qformer.model_dump(exclude={"query_tokens"}),
            "model_type": "blip_2_qformer",
            "encoder_hidden_size": vision.vit.hidden_size,
        },
    }


if __name__ == "__main__":
    export(ModelFolder.open(Path(sys.argv[1])), Path(sys.argv[2]))
