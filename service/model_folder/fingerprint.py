"""Short identities of the frozen parts that a projection was trained between.

They read a few small tensors, so that they take milliseconds and not the minutes of hashing a
language model. Two fine-tuned versions of one model differ in their norms.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import torch

from service.model_folder.layout import ModelFolder
from service.model_folder.vision_config import WEIGHTS_FILE
from service.tensors.lazy_tensor import LazyTensor
from service.tensors.reading import read_checkpoint

ENCODER_TENSORS = ("ln_vision.weight", "ln_vision.bias", "query_tokens", "qformer.layernorm.weight")
LANGUAGE_MODEL_TENSORS = ("model.norm.weight",)
DIGITS = 16


def fingerprint(folder: ModelFolder) -> dict[str, str]:
    """Return the identities of a folder's frozen parts, with its family and visual tokens.

    A language model on the hub is not read, and has no identity here.

    Raises:
        CheckpointError: a file cannot be read.
    """
    vision = read_checkpoint(folder.vision / WEIGHTS_FILE).tensors
    facts = {
        "family": folder.index.family,
        "visual_tokens": str(folder.index.visual_tokens),
        "encoder": _hash(vision, (*ENCODER_TENSORS, *_list_vectors(vision))),
    }
    if folder.language_model_is_local:
        tensors = read_checkpoint(Path(folder.language_model)).tensors
        facts["language_model"] = _hash(tensors, LANGUAGE_MODEL_TENSORS)
    return facts


def _list_vectors(tensors: Mapping[str, LazyTensor]) -> list[str]:
    """List the norms and biases of a composed model's vision model."""
    return sorted(
        name
        for name, tensor in tensors.items()
        if name.startswith("backbone.") and len(tensor.shape) == 1
    )


def _hash(tensors: Mapping[str, LazyTensor], names: Iterable[str]) -> str:
    whole = sha256()
    for name in names:
        if name in tensors:
            # In one dtype, because a folder may be stored in another.
            numbers = tensors[name].load().to(torch.bfloat16).contiguous()
            whole.update(name.encode() + numbers.view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()[:DIGITS]
