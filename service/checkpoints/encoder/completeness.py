"""Whether the opened files hold every tensor of the encoder, in the right shape."""

from collections.abc import Mapping, Sequence

import torch

from service.checkpoints.encoder.source import Source
from service.checkpoints.layouts.blip2_folder import BLIP2_FOLDER
from service.checkpoints.messages import list_lines
from service.errors import CheckpointError
from service.model_folder.vision_config import VisionConfig
from service.tensors.lazy_tensor import LazyTensor
from service.vision.model import VisionEncoder


def expected_shapes(config: VisionConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of an encoder.

    Raises:
        ValueError: no encoder has these sizes.
    """
    with torch.device("meta"):
        encoder = VisionEncoder(config)
    return {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}


def check_tensors(
    expected: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, LazyTensor],
    sources: Sequence[Source],
) -> None:
    """Check that every tensor is there and has the expected shape.

    Raises:
        CheckpointError: all missing and misshapen tensors are named, as in their files.
    """
    problems = [
        f"missing: {_describe_origin(name, sources)}"
        for name in sorted(expected.keys() - tensors.keys())
    ]
    problems += [
        f"{name} is {tensors[name].shape}, and should be {expected[name]}"
        for name in sorted(expected.keys() & tensors.keys())
        if tensors[name].shape != expected[name]
    ]
    if not problems:
        return
    missing = [shard.name for source in sources for shard in source.checkpoint.missing_shards]
    if missing:
        problems.append(f"missing shards: {', '.join(missing)}")
    raise CheckpointError("The files do not hold the whole encoder:\n  " + list_lines(problems))


def _describe_origin(name: str, sources: Sequence[Source]) -> str:
    """Return the name of a missing tensor in the file that should hold it, and that file."""
    part = name.split(".")[0]
    role = part if part in ("vit", "projection") else "qformer"
    for source in sources:
        if source.role == role:
            if source.table is BLIP2_FOLDER:
                return f"{source.table.original_name(name)} in {source.path}"
            # The original's files hold no qkv.bias, but the two biases that it is made of.
            original = source.table.original_name(name.replace("qkv.bias", "q_bias"))
            shown = original.replace("attn.q_bias", "attn.q_bias and v_bias")
            return f"{shown} in {source.path}"
    return name
