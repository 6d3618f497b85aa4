"""A language model's folder as it was published in 2023."""

import json
from collections.abc import Mapping
from pathlib import Path

import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from tests.published.random_tensors import Tensors
from tests.published.sizes import SMALL, VOCABULARY, Sizes


def write_llama(
    folder: Path, llama2: bool = False, sizes: Sizes = SMALL, binary: bool = True
) -> Tensors:
    """Write two shards, the configuration, and ``tokenizer.model`` without ``tokenizer.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    config = make_llama_config(llama2, sizes)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(6)
    tensors = {}
    for name, tensor in model.state_dict().items():
        values = torch.randn(tensor.shape, generator=generator)
        tensors[name] = (
            1 + 0.1 * values if tensor.ndim == 1 else values * tensor.shape[-1] ** -0.5
        ).contiguous()
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}
    write_shards(folder, tensors | buffers, binary)
    config.save_pretrained(folder)
    GenerationConfig(bos_token_id=1, eos_token_id=2).save_pretrained(folder)
    write_sentencepiece(folder / "tokenizer.model")
    return tensors


def make_llama_config(llama2: bool, sizes: Sizes = SMALL) -> LlamaConfig:
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
    """Write two shards and their index, as pickles or as safetensors."""
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
    """Train a small tokenizer like Llama's: BPE, byte fallback, spaces kept, no normalisation."""
    corpus = Path(__file__).parents[2] / "service" / "prompt" / "tiny_corpus.txt"
    # Like Llama's, it gets pieces for runs of one character: their merges overlap, so the order of
    # ties matters.
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
