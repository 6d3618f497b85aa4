"""Tiny vision and language models with random weights, written by transformers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Blip2VisionConfig,
    Blip2VisionModel,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
)

CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TAGS = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
}
_PICTURE: dict[str, Any] = {"image_size": 28, "patch_size": 7}


def _clip() -> PreTrainedModel:
    text = {**_SIZES, "vocab_size": 64}
    return CLIPModel(CLIPConfig(vision_config={**_SIZES, **_PICTURE}, text_config=text))


VISION: dict[str, Callable[[], PreTrainedModel]] = {
    "dinov2": lambda: Dinov2Model(Dinov2Config(**_SIZES, **_PICTURE, mlp_ratio=2)),
    "clip": _clip,
    "siglip": lambda: SiglipVisionModel(SiglipVisionConfig(**_SIZES, **_PICTURE)),
    "blip2": lambda: Blip2VisionModel(Blip2VisionConfig(**_SIZES, **_PICTURE)),
}
"""Makers of tiny vision models; CLIP's also holds its text model, as published folders do."""


def write_vision(name: str, folder: Path) -> Path:
    """Write a tiny vision model, with pixel statistics; return its folder."""
    torch.manual_seed(1)
    model = VISION[name]()
    # Position embeddings start as zeros in some of them, and the tests must see them.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1)
    model.save_pretrained(folder)
    statistics = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(statistics))
    return folder


def _sizes(vocabulary: int) -> dict[str, Any]:
    return {
        **_SIZES,
        "hidden_size": 64,  # two heads of 32 elements, the fewest that vLLM's CPU kernel takes
        "num_key_value_heads": 1,
        "vocab_size": vocabulary,
        "max_position_embeddings": 512,
    }


LANGUAGE: dict[str, Callable[[int], PreTrainedModel]] = {
    "llama": lambda n: LlamaForCausalLM(LlamaConfig(**_sizes(n), tie_word_embeddings=True)),
    "qwen2": lambda n: Qwen2ForCausalLM(Qwen2Config(**_sizes(n))),
    "gemma2": lambda n: Gemma2ForCausalLM(Gemma2Config(**_sizes(n), head_dim=32)),
}
"""Makers of tiny decoders, from the size of their vocabulary."""


def write_language(name: str, folder: Path, template: str | None = CHATML) -> Path:
    """Write a tiny decoder with a byte-level tokenizer; return its folder."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator(["What is this? A red circle."], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=learner,
        bos_token="<s>",
        eos_token="</s>" if template != CHATML else "<|endoftext|>",
        unk_token="<|endoftext|>",
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(2)
    LANGUAGE[name](len(tokenizer)).save_pretrained(folder)
    return folder
