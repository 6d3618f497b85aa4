"""Llama tokenizers with ``<ImageHere>`` and a family's chat template.

The original tokenizes each piece of text between images by itself. Registering ``<ImageHere>`` as a
special token has the same effect: the tokenizer splits there first, and every piece gets Llama's
dummy-prefix space of its own.
"""

import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers.pre_tokenizers import Metaspace

from service.families import IMAGE_TOKEN, Family

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def llama_tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """A fast tokenizer that behaves as Llama's SentencePiece model of the same pieces does.

    Args:
        vocabulary: Piece to id; ids 0, 1, 2 are ``<unk>``, ``<s>``, ``</s>``, then the 256 bytes.
        merges: Pairs of pieces, best first.
    """
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=UNK,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    # Not the Metaspace pre-tokenizer: Llama merges across spaces, and its prefix is unconditional.
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B",
        special_tokens=[(BOS, vocabulary[BOS])],
    )
    tokenizer.add_special_tokens([_special(token) for token in (UNK, BOS, EOS)])
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, family: Family, folder: Path) -> None:
    """Add ``<ImageHere>`` and write the folder that ``--tokenizer`` takes (created)."""
    tokenizer.add_special_tokens([_special(IMAGE_TOKEN)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    configuration = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "unk_token": UNK,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration, indent=2) + "\n")
    # vLLM looks for a model configuration beside a tokenizer and complains where there is none.
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}) + "\n")
    (folder / "chat_template.jinja").write_text(chat_template(family))


def chat_template(family: Family) -> str:
    """The family's conversation format as one Jinja template: the shared macros, then its own part."""
    templates = files("service.prompt") / "templates"
    parts = ("macros.jinja", family.chat_template)
    return "".join((templates / part).read_text("utf-8") for part in parts)


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Learn a small tokenizer of Llama's kind; deterministic for the same texts."""
    learner = Tokenizer(models.BPE(unk_token=UNK, byte_fallback=True))
    # While learning, merges stay within words, as SentencePiece's do.
    learner.pre_tokenizer = Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[UNK, BOS, EOS, *BYTE_TOKENS],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    return llama_tokenizer(model["vocab"], [tuple(pair) for pair in model["merges"]])


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)
