"""A model folder as a BLIP-2 folder, which vLLM serves with its own model: the same weights.

BLIP-2 knows one image a conversation, and its tokens stand at the prompt's very start.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BlipImageProcessor

from service.model_folder.layout import ModelFolder
from service.vision.model import PIXEL_MEAN, PIXEL_STD
from service.vision.weights import load_vision_config

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


def export(source: ModelFolder, target: Path) -> None:
    """Write ``target``; the family must have a Q-Former."""
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
    image_token = tokenizer.convert_tokens_to_ids(IMAGE)
    save_file(_tensors(source, image_token + 1), target / "model.safetensors", {"format": "pt"})
    (target / "config.json").write_text(json.dumps(_config(source, image_token), indent=2))


def _tensors(source: ModelFolder, vocabulary: int) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, tensor in load_file(source.vision / "model.safetensors").items():
        prefix = next(old for old in PREFIXES if name.startswith(old))
        tensors[PREFIXES[prefix] + name.removeprefix(prefix)] = tensor
    for file in sorted(Path(source.language_model).glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            if name in ("model.embed_tokens.weight", "lm_head.weight"):
                # One more row for the image token; it is replaced before it is used.
                tensor = torch.cat([tensor, tensor[:1].repeat(vocabulary - len(tensor), 1)])
            tensors[f"language_model.{name}"] = tensor
    return tensors


def _config(source: ModelFolder, image_token: int) -> dict[str, object]:
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
        "text_config": {**text, "vocab_size": image_token + 1},
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
