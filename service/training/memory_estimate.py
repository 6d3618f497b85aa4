"""An estimate of the memory that a run needs, made from sizes alone, before anything is loaded.

The formula (bytes; ``b`` is the size of a number in the arithmetic, 2 on a GPU and 4 on a CPU):

- frozen weights: parameters x ``b``. Quantised linear layers take 1 byte (LLM.int8) or 0.516 bytes
  (NF4 with doubly quantised scales) a parameter instead.
- what learns: 16 a parameter: weight, gradient and AdamW's two moments, all in float32.
- activations that the backward pass needs, for each of the language model's layers and each token
  of a batch: ``8 h`` (the two norms' inputs in float32) + ``4 h b`` (queries, keys, values and the
  attention's result) + ``3 m b`` (the gated feed-forward), with ``h`` the width and ``m`` the
  feed-forward's width. LoRA adds ``2 (9 h + 4 r)`` for its dropped-out inputs. With gradient
  checkpointing a layer keeps its input alone, ``h b``.
- working memory: the largest of the encoder's forward pass, ``2 (w + i) b`` for each patch; the
  loss, ``12 v`` for each token of the targets, and ``b v`` more for logits of 16 bits; and, with
  gradient checkpointing, the activations of one layer and ``3 m b`` for the gradients of its
  feed-forward. ``w`` and ``i`` are the ViT's widths, ``v`` is the vocabulary.

Memory that the CUDA context, the allocator's fragments and Python take is not in it: 1 to 2 GiB.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import VisionConfig, load_vision_config
from service.training.language_model import Bits
from service.training.presets import Stage
from service.training.trained_parts import Variant, configure_variant
from service.vision.choice import make_encoder

_FLOAT32_BYTES = 4
_TRAINED_BYTES = 4 * _FLOAT32_BYTES
_QUANTISED_BYTES: dict[int, float] = {8: 1.0, 4: 0.516}
_PROMPT_TOKENS = 32
"""Tokens around the image in a prompt of stage 2, about."""


@dataclass(frozen=True)
class Sizes:
    """The sizes that the estimate needs.

    Attributes:
        vision: Shape of the encoder.
        language_model: Configuration of the language model.
        frozen_vision: Frozen parameters of the encoder.
        trained: Parameters of the encoder that learn.
        linear: Parameters of the language model's linear layers without its head.
        others: The language model's other parameters.
    """

    vision: VisionConfig
    language_model: LlamaConfig
    frozen_vision: int
    trained: int
    linear: int
    others: int

    @classmethod
    def read(cls, folder: ModelFolder, variant: Variant) -> "Sizes":
        """Read the configurations of a model folder.

        Raises:
            AlignmentError: the language model's configuration cannot be read.
        """
        vision = configure_variant(variant, load_vision_config(folder.vision))
        try:
            config = AutoConfig.from_pretrained(folder.language_model)
            with torch.device("meta"):
                encoder = make_encoder(vision)
                language_model = AutoModelForCausalLM.from_config(config)
        except (OSError, ValueError, KeyError) as error:
            raise AlignmentError(
                f"The configuration of {folder.language_model} cannot be read: {error}"
            ) from error
        parts = ("projection.", "qformer.", "query_tokens")
        learning = parts if variant == "train-qformer" else parts[:1]
        named = [(name, p.numel()) for name, p in encoder.named_parameters()]
        trained = sum(size for name, size in named if name.startswith(learning))
        linear = sum(_count(module) for module in language_model.base_model.modules())
        everything = sum(p.numel() for p in language_model.parameters())
        frozen = sum(size for _, size in named) - trained
        return cls(vision, config, frozen, trained, linear, everything - linear)


def _count(module: nn.Module) -> int:
    return module.weight.numel() if isinstance(module, nn.Linear) else 0


def estimate_memory(
    sizes: Sizes,
    stage: Stage,
    number_bytes: int,
    *,
    bits: Bits | None = None,
    checkpoint_gradients: bool = False,
    images: int = 1,
) -> dict[str, float]:
    """Estimate the peak memory of one device, in bytes by part; see the module's formula.

    Args:
        number_bytes: Bytes of a number in the arithmetic.
        images: Images of a sample.
    """
    vision, model = sizes.vision, sizes.language_model
    width, layers, rank = model.hidden_size, model.num_hidden_layers, stage.lora_rank
    heads = model.num_attention_heads
    head = getattr(model, "head_dim", None) or width // heads
    queries, keys = heads * head, (getattr(model, "num_key_value_heads", None) or heads) * head
    lora = layers * rank * (2 * width + queries + keys)
    prompt = _PROMPT_TOKENS if stage.name == "stage2" else 1
    targets = stage.batch * stage.target_tokens
    tokens = stage.batch * (images * vision.visual_tokens + prompt) + targets
    gated = 3 * model.intermediate_size * number_bytes
    layer = 8 * width + 4 * queries * number_bytes + gated
    if rank:
        layer += 2 * (9 * width + 4 * rank)
    kept = layers * (width * number_bytes if checkpoint_gradients else layer)
    patches = stage.batch * images * (vision.patches + 1)
    encoding = 2 * patches * (vision.vit.hidden_size + vision.vit.intermediate_size) * number_bytes
    logits = 12 + (number_bytes if number_bytes < _FLOAT32_BYTES else 0)
    losses = targets * model.vocab_size * logits
    again = tokens * (layer + gated) if checkpoint_gradients else 0
    working = max(encoding, losses, again)
    linear_bytes = _QUANTISED_BYTES[bits] if bits else number_bytes
    return {
        "vision encoder, frozen": sizes.frozen_vision * number_bytes,
        "language model, frozen": sizes.linear * linear_bytes + sizes.others * number_bytes,
        "projection and all that learns": _TRAINED_BYTES * (sizes.trained + lora),
        "activations of the language model": tokens * kept,
        "working memory": working,
    }


def format_estimate(parts: dict[str, float]) -> Iterator[str]:
    """Write the estimate as lines, with their sum."""
    for name, size in {**parts, "peak": sum(parts.values())}.items():
        amount = f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
        yield f"{name:<36}{amount:>12}"
