"""Reduced-size checkpoints in exactly the layouts that were published in 2023, with random weights.

Sizes are small but keep what the importer derives from them: ViT heads of 88, Q-Former heads of 64.
The scale of the weights is healthy: activations neither vanish nor explode.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

Tensors = dict[str, Tensor]

VIT_WIDTH, VIT_HEADS, VIT_LAYERS = 176, 2, 3
QFORMER_WIDTH, QFORMER_HEADS = 128, 2
LLAMA_WIDTH, LLAMA_LAYERS, VOCABULARY = 64, 2, 700
RANK, QUERIES = 4, 32


@dataclass(frozen=True)
class Sizes:
    """Widths and depths of the files; the ViT's file has one block more than ``vit_layers``."""

    vit_width: int = VIT_WIDTH
    vit_mlp: int = 380
    vit_layers: int = VIT_LAYERS
    qformer_width: int = QFORMER_WIDTH
    qformer_mlp: int = 192
    qformer_layers: int = 3
    words: int = 30
    llama_width: int = LLAMA_WIDTH
    llama_layers: int = LLAMA_LAYERS
    llama_heads: int = 2


SMALL = Sizes()


class Weights:
    """Draws reproducible random tensors of a healthy scale."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def matrix(self, *shape: int) -> Tensor:
        fan_in = torch.Size(shape[1:]).numel()
        return torch.randn(shape, generator=self.generator) * fan_in**-0.5

    def vector(self, width: int, scale: float = 0.1) -> Tensor:
        return torch.randn(width, generator=self.generator) * scale

    def linear(self, tensors: Tensors, name: str, outputs: int, inputs: int) -> None:
        tensors[f"{name}.weight"] = self.matrix(outputs, inputs)
        tensors[f"{name}.bias"] = self.vector(outputs)

    def norm(self, tensors: Tensors, name: str, width: int) -> None:
        tensors[f"{name}.weight"] = 1 + self.vector(width)
        tensors[f"{name}.bias"] = self.vector(width)


def eva_vit(sizes: Sizes = SMALL, seed: int = 1) -> Tensors:
    """``eva_vit_g.pth``: one block more than is run, a head, norms, no key bias."""
    weights, width = Weights(seed), sizes.vit_width
    tensors: Tensors = {
        "cls_token": weights.vector(width).reshape(1, 1, width),
        "pos_embed": weights.vector(257 * width, 0.5).reshape(1, 257, width),
        "patch_embed.proj.weight": weights.matrix(width, 3, 14, 14),
        "patch_embed.proj.bias": weights.vector(width),
    }
    for layer in range(sizes.vit_layers + 1):
        block = f"blocks.{layer}"
        weights.norm(tensors, f"{block}.norm1", width)
        tensors[f"{block}.attn.q_bias"] = weights.vector(width)
        tensors[f"{block}.attn.v_bias"] = weights.vector(width)
        tensors[f"{block}.attn.qkv.weight"] = weights.matrix(3 * width, width)
        weights.linear(tensors, f"{block}.attn.proj", width, width)
        weights.norm(tensors, f"{block}.norm2", width)
        weights.linear(tensors, f"{block}.mlp.fc1", sizes.vit_mlp, width)
        weights.linear(tensors, f"{block}.mlp.fc2", width, sizes.vit_mlp)
    weights.norm(tensors, "norm", width)
    weights.linear(tensors, "head", 10, width)
    return {name: tensor.half() for name, tensor in tensors.items()}


def blip2_model(sizes: Sizes = SMALL, seed: int = 2) -> Tensors:
    """The ``model`` of ``blip2_pretrained_flant5xxl.pth``: with a text branch, head and t5_proj."""
    weights, width = Weights(seed), sizes.qformer_width
    tensors: Tensors = {"query_tokens": weights.vector(QUERIES * width).reshape(1, QUERIES, width)}
    weights.norm(tensors, "ln_vision", sizes.vit_width)
    bert = "Qformer.bert"
    tensors[f"{bert}.embeddings.position_ids"] = torch.arange(20).reshape(1, 20)
    tensors[f"{bert}.embeddings.word_embeddings.weight"] = weights.matrix(sizes.words, width)
    tensors[f"{bert}.embeddings.position_embeddings.weight"] = weights.matrix(20, width)
    weights.norm(tensors, f"{bert}.embeddings.LayerNorm", width)
    for number in range(sizes.qformer_layers):
        layer = f"{bert}.encoder.layer.{number}"
        kinds = ("attention", "crossattention") if number % 2 == 0 else ("attention",)
        for kind in kinds:
            weights.linear(tensors, f"{layer}.{kind}.self.query", width, width)
            for part in ("key", "value"):
                inputs = sizes.vit_width if kind == "crossattention" else width
                weights.linear(tensors, f"{layer}.{kind}.self.{part}", width, inputs)
            weights.linear(tensors, f"{layer}.{kind}.output.dense", width, width)
            weights.norm(tensors, f"{layer}.{kind}.output.LayerNorm", width)
        for suffix in ("", "_query"):
            weights.linear(tensors, f"{layer}.intermediate{suffix}.dense", sizes.qformer_mlp, width)
            weights.linear(tensors, f"{layer}.output{suffix}.dense", width, sizes.qformer_mlp)
            weights.norm(tensors, f"{layer}.output{suffix}.LayerNorm", width)
    weights.linear(tensors, "Qformer.cls.predictions.transform.dense", width, width)
    tensors["Qformer.cls.predictions.bias"] = weights.vector(sizes.words)
    weights.linear(tensors, "t5_proj", 48, width)
    return tensors


def trained_model(family: str, sizes: Sizes = SMALL, seed: int = 3) -> Tensors:
    """The ``model`` of a MiniGPT-4 checkpoint: the projection and, by accident, every buffer."""
    weights = Weights(seed)
    has_qformer = family == "minigpt4-vicuna"
    inputs = sizes.qformer_width if has_qformer else 4 * sizes.vit_width
    width = sizes.llama_width
    tensors: Tensors = {}
    base = "llama_model.base_model.model" if family == "minigpt-v2" else "llama_model"
    for layer in range(sizes.llama_layers):
        attention = f"{base}.model.layers.{layer}.self_attn"
        tensors[f"{attention}.rotary_emb.inv_freq"] = torch.ones(8)
        if family == "minigpt-v2":
            for part in ("q_proj", "v_proj"):
                tensors[f"{attention}.{part}.lora_A.weight"] = weights.matrix(RANK, width)
                tensors[f"{attention}.{part}.lora_B.weight"] = weights.matrix(width, RANK)
    if has_qformer:
        tensors["Qformer.bert.embeddings.position_ids"] = torch.arange(20).reshape(1, 20)
    weights.linear(tensors, "llama_proj", width, inputs)
    return tensors


def training_checkpoint(
    model: Tensors, datasets: tuple[str, ...] = ("cc_sbu_align",), **options: float
) -> Any:
    """What the original's training saves; ``options`` are of the model's configuration."""
    return {
        "model": model,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-5}]},
        "config": {
            "model": {"arch": "minigpt4", **options},
            "datasets": {name: {} for name in datasets},
        },
        "scaler": {"scale": 65536.0},
        "epoch": 4,
    }


@dataclass(frozen=True)
class Published:
    """Where the files of one family are, and their content."""

    family: str
    vit: Path
    qformer: Path | None
    projection: Path
    language_model: Path
    eva: Tensors
    blip2: Tensors
    trained: Tensors

    @property
    def arguments(self) -> list[str]:
        """The command line that imports them, without the target folder."""
        parts = ["--family", self.family, "--vit", str(self.vit)]
        parts += ["--qformer", str(self.qformer)] if self.qformer else []
        return [*parts, "--projection", str(self.projection), "--llm", str(self.language_model)]


def publish(folder: Path, family: str, sizes: Sizes = SMALL) -> Published:
    """Write all files of a family into ``folder`` (created)."""
    folder.mkdir(parents=True, exist_ok=True)
    eva, blip2 = eva_vit(sizes), blip2_model(sizes)
    trained = trained_model(family, sizes)
    files = Published(
        family,
        folder / "eva_vit_g.pth",
        folder / "blip2_pretrained_flant5xxl.pth" if family == "minigpt4-vicuna" else None,
        folder / "pretrained_minigpt4.pth",
        folder / "llm",
        eva,
        blip2,
        trained,
    )
    torch.save(eva, files.vit)
    if files.qformer:
        torch.save({"model": blip2}, files.qformer)
    torch.save(training_checkpoint(trained), files.projection)
    llama2 = family != "minigpt4-vicuna"
    write_llama(files.language_model, llama2, sizes, binary=not llama2)
    return files


def write_llama(
    folder: Path, llama2: bool = False, sizes: Sizes = SMALL, binary: bool = True
) -> Tensors:
    """A language model's folder of 2023: two shards, ``tokenizer.model`` only."""
    folder.mkdir(parents=True, exist_ok=True)
    config = llama_config(llama2, sizes)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(6)
    tensors = {}
    for name, tensor in model.state_dict().items():
        healthy = torch.randn(tensor.shape, generator=generator)
        tensors[name] = (
            1 + 0.1 * healthy if tensor.ndim == 1 else healthy * tensor.shape[-1] ** -0.5
        ).contiguous()
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}
    write_shards(folder, tensors | buffers, binary)
    config.save_pretrained(folder)
    GenerationConfig(bos_token_id=1, eos_token_id=2).save_pretrained(folder)
    write_sentencepiece(folder / "tokenizer.model")
    return tensors


def llama_config(llama2: bool, sizes: Sizes = SMALL) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=sizes.llama_width,
        intermediate_size=96,
        num_hidden_layers=sizes.llama_layers,
        num_attention_heads=sizes.llama_heads,
        max_position_embeddings=4096 if llama2 else 2048,
        rms_norm_eps=1e-5 if llama2 else 1e-6,
        bos_token_id=1,
        eos_token_id=2,
        architectures=["LlamaForCausalLM"],
    )


def write_shards(folder: Path, tensors: Mapping[str, Tensor], binary: bool) -> None:
    """Two shards and their index, in the old or the new format."""
    names = sorted(tensors)
    stem, suffix = ("pytorch_model", "bin") if binary else ("model", "safetensors")
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"{stem}-{number:05}-of-00002.{suffix}"
        shard = {name: tensors[name] for name in part}
        if binary:
            torch.save(shard, folder / file)
        else:
            save_file(shard, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))


def write_sentencepiece(file: Path) -> None:
    """A small tokenizer of Llama's kind: BPE, byte fallback, spaces kept, no normalisation."""
    corpus = Path(__file__).parents[2] / "service" / "prompt" / "tiny_corpus.txt"
    # Llama has pieces for runs of spaces and of other characters: overlapping merges, where ties matter.
    runs = [character * length + "x" for character in " =-" for length in range(1, 18)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus.read_text("utf-8").splitlines() + 5 * runs),
        model_prefix=str(file.with_suffix("")),
        model_type="bpe",
        vocab_size=VOCABULARY - 1,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        character_coverage=0.99995,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        minloglevel=2,
    )
    file.with_suffix(".vocab").unlink()


def write_blip2_folder(folder: Path, eva: Tensors, blip2: Tensors, instruct: bool = False) -> None:
    """A Hugging Face folder with the same ViT, ln_vision and Q-Former, and a language model beside."""
    tensors: Tensors = {
        "query_tokens": blip2["query_tokens"],
        "vision_model.post_layernorm.weight": blip2["ln_vision.weight"],
        "vision_model.post_layernorm.bias": blip2["ln_vision.bias"],
        "vision_model.embeddings.class_embedding": eva["cls_token"],
        "vision_model.embeddings.position_embedding": eva["pos_embed"],
        "vision_model.embeddings.patch_embedding.weight": eva["patch_embed.proj.weight"],
        "vision_model.embeddings.patch_embedding.bias": eva["patch_embed.proj.bias"],
        "language_projection.weight": torch.ones(4, QFORMER_WIDTH),
        "language_projection.bias": torch.ones(4),
        "language_model.shared.weight": torch.ones(5, 4),
    }
    for layer in range(VIT_LAYERS):
        block, new = f"blocks.{layer}", f"vision_model.encoder.layers.{layer}"
        for old_part, new_part in (
            ("norm1", "layer_norm1"),
            ("norm2", "layer_norm2"),
            ("attn.proj", "self_attn.projection"),
            ("mlp.fc1", "mlp.fc1"),
            ("mlp.fc2", "mlp.fc2"),
        ):
            for kind in ("weight", "bias"):
                tensors[f"{new}.{new_part}.{kind}"] = eva[f"{block}.{old_part}.{kind}"]
        tensors[f"{new}.self_attn.qkv.weight"] = eva[f"{block}.attn.qkv.weight"]
        query, value = eva[f"{block}.attn.q_bias"], eva[f"{block}.attn.v_bias"]
        tensors[f"{new}.self_attn.qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
    for name, tensor in blip2.items():
        if name.startswith("Qformer.bert.encoder."):
            renamed = name.replace("Qformer.bert", "qformer").replace(
                "attention.self.", "attention.attention."
            )
            text = ".intermediate." in renamed or ".output." in renamed.replace(
                "attention.output.", ""
            )
            if instruct or not text:
                tensors[renamed] = tensor
    norm = "qformer.embeddings.layernorm" if instruct else "qformer.layernorm"
    for kind in ("weight", "bias"):
        tensors[f"{norm}.{kind}"] = blip2[f"Qformer.bert.embeddings.LayerNorm.{kind}"]
    if instruct:
        tensors["qformer.embeddings.word_embeddings.weight"] = torch.ones(30, QFORMER_WIDTH)
        tensors["qformer.embeddings.position_embeddings.weight"] = torch.ones(20, QFORMER_WIDTH)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "instructblip" if instruct else "blip-2",
        "vision_config": {"num_attention_heads": VIT_HEADS, "layer_norm_eps": 1e-5},
        "qformer_config": {"num_attention_heads": QFORMER_HEADS},
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_shards(folder, {name: tensor.contiguous() for name, tensor in tensors.items()}, False)
