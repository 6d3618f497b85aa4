"""Tiny language models in the layouts of published quantised ones: GPTQ, AWQ and FP8."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]
GROUP = 32
BITS = 4
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)

AUTOGPTQ = {"bits": BITS, "group_size": GROUP, "damp_percent": 0.01, "desc_act": False, "sym": True}
"""``quantize_config.json`` beside weights of 2023, whose ``config.json`` says nothing."""

GPTQ = {"quant_method": "gptq", **AUTOGPTQ}
AWQ = {
    "quant_method": "awq",
    "bits": BITS,
    "group_size": GROUP,
    "zero_point": True,
    "version": "gemm",
}
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic"}


def write_gptq(source: Path, target: Path) -> None:
    """Write a language model in 4 bits, as AutoGPTQ does now."""
    _write(source, target, _pack_gptq, GPTQ)


def write_autogptq(source: Path, target: Path, name: str = "vicuna-7B-v0-GPTQ-4bit-32g") -> None:
    """Write a folder of 2023: a file with a name of its own, and ``quantize_config.json``."""
    _write(source, target, _pack_gptq, None, f"{name}.safetensors")
    (target / "quantize_config.json").write_text(json.dumps(AUTOGPTQ))


def write_awq(source: Path, target: Path) -> None:
    """Write a language model in 4 bits, as AutoAWQ does."""
    _write(source, target, _pack_awq, AWQ)


def write_fp8(source: Path, target: Path) -> None:
    """Write a language model in 8 bits with one scale a tensor."""
    _write(source, target, _pack_fp8, FP8)


def read_dequantised(folder: Path) -> Tensors:
    """Read a folder that :func:`write_gptq` or :func:`write_awq` has written, in float32."""
    stored = load_file(folder / "model.safetensors")
    facts = json.loads((folder / "config.json").read_text())
    order = AWQ_ORDER if facts["quantization_config"] == AWQ else range(8)
    tensors = {name: t.float() for name, t in stored.items() if t.is_floating_point()}
    for name in [name for name in stored if name.endswith(".qweight")]:
        stem = name.removesuffix("qweight")
        scales = tensors.pop(stem + "scales")
        numbers = _split(stored[name], order)  # [rows, columns, 8]
        if order is AWQ_ORDER:
            numbers = numbers.reshape(len(numbers), -1)
        else:
            numbers = numbers.transpose(1, 2).reshape(-1, numbers.shape[1])
        tensors[stem + "weight"] = ((numbers - 8) * scales.repeat_interleave(GROUP, 0)).T
    return tensors


def _write(
    source: Path,
    target: Path,
    pack: Callable[[Tensor], Tensors],
    config: Mapping[str, object] | None,
    weights: str = "model.safetensors",
) -> None:
    target.mkdir(parents=True)
    tensors: Tensors = {}
    for file in source.glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            if "_proj." in name:
                stem = name.removesuffix("weight")
                tensors |= {stem + part: packed for part, packed in pack(tensor.float()).items()}
            else:
                tensors[name] = tensor.half()
    save_file({name: t.contiguous() for name, t in tensors.items()}, target / weights)
    facts = json.loads((source / "config.json").read_text()) | {"dtype": "float16"}
    facts.pop("torch_dtype", None)
    if config is not None:
        facts["quantization_config"] = config
    (target / "config.json").write_text(json.dumps(facts))
    for name in ("generation_config.json", "tokenizer.model"):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers from 0 to 15 ``[in, out]``, and scales ``[groups, out]``; 8 is zero."""
    groups = weight.T.reshape(-1, GROUP, weight.shape[0])
    scales = groups.abs().amax(1) / 7
    numbers = (groups / scales[:, None]).round().clamp(-8, 7) + 8
    return numbers.reshape(-1, weight.shape[0]).to(torch.int32), scales.half()


def _pack_gptq(weight: Tensor) -> Tensors:
    numbers, scales = _quantise(weight)
    rows, columns = numbers.shape
    # The format stores each zero less one.
    zeros = torch.full((len(scales), columns), 7, dtype=torch.int32)
    return {
        "qweight": _join(numbers.reshape(rows // 8, 8, columns).transpose(1, 2), range(8)),
        "qzeros": _join(zeros.reshape(len(scales), columns // 8, 8), range(8)),
        "scales": scales,
        "g_idx": torch.arange(rows, dtype=torch.int32) // GROUP,
    }


def _pack_awq(weight: Tensor) -> Tensors:
    numbers, scales = _quantise(weight)
    rows, columns = numbers.shape
    zeros = torch.full((len(scales), columns), 8, dtype=torch.int32)
    return {
        "qweight": _join(numbers.reshape(rows, columns // 8, 8), AWQ_ORDER),
        "qzeros": _join(zeros.reshape(len(scales), columns // 8, 8), AWQ_ORDER),
        "scales": scales,
    }


def _pack_fp8(weight: Tensor) -> Tensors:
    scale = weight.abs().max() / torch.finfo(torch.float8_e4m3fn).max
    return {
        "weight": (weight / scale).to(torch.float8_e4m3fn),
        "weight_scale": scale.reshape(1),
    }


def _join(numbers: Tensor, order: "tuple[int, ...] | range") -> Tensor:
    """Pack eight 4-bit numbers of the last dimension into an int32, lowest first."""
    whole = torch.zeros(numbers.shape[:-1], dtype=torch.int32)
    for place, index in enumerate(order):
        whole |= numbers[..., index] << (BITS * place)
    return whole


def _split(whole: Tensor, order: "tuple[int, ...] | range") -> Tensor:
    """Undo :func:`_join`: ``[..., 8]`` numbers from 0 to 15."""
    numbers = torch.zeros((*whole.shape, 8), dtype=torch.int32)
    for place, index in enumerate(order):
        numbers[..., index] = (whole >> (BITS * place)) & 15
    return numbers
