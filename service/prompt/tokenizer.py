"""Llama tokenizers with ``<ImageHere>``, and a family's chat template.

The original tokenizes each piece of text between two images separately. Registering ``<ImageHere>``
as a special token has the same effect: the tokenizer splits the text there first, and gives each
piece the space that Llama puts before a text.
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


def build_llama_tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """Build a fast tokenizer with the ids of a Llama SentencePiece model of these pieces.

    Args:
        vocabulary: Id of each piece; ids 0, 1, 2 are ``<unk>``, ``<s>``, ``</s>``, then come the
            256 bytes.
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
    # The Metaspace pre-tokenizer would not do: Llama merges across spaces and always adds the
    # prefix.
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
    tokenizer.add_special_tokens([_special_token(token) for token in (UNK, BOS, EOS)])
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, family: Family, folder: Path) -> None:
    """Add ``<ImageHere>`` and write the folder for vLLM's ``--tokenizer``; create it if needed."""
    tokenizer.add_special_tokens([_special_token(IMAGE_TOKEN)])
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
    # vLLM logs a warning when there is no model configuration beside a tokenizer.
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}) + "\n")
    (folder / "chat_template.jinja").write_text(read_chat_template(family))


def read_chat_template(family: Family) -> str:
    """Return the family's chat template: the shared macros, then the family's own part."""
    templates = files("service.prompt") / "templates"
    parts = ("macros.jinja", family.chat_template)
    return "".join((templates / part).read_text("utf-8") for part in parts)


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Train a small tokenizer like Llama's; the same texts always give the same tokenizer."""
    learner = Tokenizer(models.BPE(unk_token=UNK, byte_fallback=True))
    # During training, merges stay within words, as in SentencePiece.
    learner.pre_tokenizer = Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[UNK, BOS, EOS, *BYTE_TOKENS],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    return build_llama_tokenizer(model["vocab"], [tuple(pair) for pair in model["merges"]])


def _special_token(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)
