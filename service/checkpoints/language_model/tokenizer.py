"""Llama's tokenizer as the original reads it: the files of 2023, turned into a fast tokenizer.

The original uses the slow SentencePiece tokenizer, so ``tokenizer.model`` takes precedence over
``tokenizer.json``. :func:`service.prompt.tokenizer.build_llama_tokenizer` builds the fast one from
its pieces.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import sentencepiece
from tokenizers import AddedToken, Tokenizer

from service.checkpoints.language_model.added_tokens import read_added_tokens
from service.errors import CheckpointError
from service.prompt.tokenizer import BOS, EOS, UNK, build_llama_tokenizer

# Llama's normalisation changes neither a full-width letter, nor a ligature, nor a double space.
_PROBE = "a  \ufb01 \uff21"
_PROBE_NORMALISED = "▁" + _PROBE.replace(" ", "▁")
TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "added_tokens.json")

_Pieces = dict[str, int]
_Merges = list[tuple[str, str]]


class ReadTokenizer(NamedTuple):
    """A tokenizer without ``<ImageHere>``.

    Attributes:
        files: The files that it was made from.
        notes: For the user.
    """

    tokenizer: Tokenizer
    files: list[Path]
    notes: list[str]


def read_tokenizer(folder: Path, vocabulary: int) -> ReadTokenizer:
    """Read the tokenizer in a language model's folder.

    Args:
        vocabulary: Number of rows in the language model's embedding table.

    Raises:
        CheckpointError: there is no tokenizer, or it is not like Llama's.
    """
    model, fast = folder / "tokenizer.model", folder / "tokenizer.json"
    if model.is_file():
        file, (pieces, merges) = model, _read_sentencepiece(model)
    elif fast.is_file():
        file, (pieces, merges) = fast, _read_fast_tokenizer(fast)
    else:
        raise CheckpointError(
            f"{folder} holds neither tokenizer.model nor tokenizer.json. Copy Llama's tokenizer.model "
            "into it, or name another folder with --tokenizer."
        )
    if [pieces.get(token) for token in (UNK, BOS, EOS)] != [0, 1, 2]:
        raise CheckpointError(
            f"{file} is not Llama's tokenizer: {UNK}, {BOS}, {EOS} are not 0, 1, 2."
        )
    if len(pieces) > vocabulary:
        raise CheckpointError(
            f"{file} has {len(pieces)} pieces, the language model only {vocabulary} embeddings: they "
            "do not belong together."
        )
    tokenizer = build_llama_tokenizer(pieces, merges)
    added_file = folder / "added_tokens.json"
    added, notes = read_added_tokens(added_file, len(pieces), vocabulary)
    # The slow tokenizer of transformers 4.30 strips the text around such a token.
    tokenizer.add_tokens(
        [AddedToken(token, lstrip=True, rstrip=True, normalized=False) for token in added]
    )
    return ReadTokenizer(tokenizer, [file, added_file] if added else [file], notes)


def _read_sentencepiece(file: Path) -> tuple[_Pieces, _Merges]:
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
    except (RuntimeError, OSError, TypeError) as error:
        raise CheckpointError(f"{file} cannot be read as a SentencePiece model: {error}") from error
    size = processor.get_piece_size()
    if processor.normalize(_PROBE) != _PROBE_NORMALISED or not any(
        processor.is_byte(piece) for piece in range(size)
    ):
        raise CheckpointError(
            f"{file} is not a Llama tokenizer: it changes characters or spaces, or has no byte pieces."
        )
    pieces = {processor.id_to_piece(piece): piece for piece in range(size)}
    scores = {
        processor.id_to_piece(piece): processor.get_score(piece)
        for piece in range(size)
        if not (
            processor.is_byte(piece) or processor.is_control(piece) or processor.is_unknown(piece)
        )
    }
    return pieces, _list_merges(scores)


def _list_merges(scores: Mapping[str, float]) -> _Merges:
    """List the pairs that SentencePiece merges, best first: those that together form a piece."""
    ranked = sorted(scores, key=lambda piece: -scores[piece])
    return [
        (piece[:cut], piece[cut:])
        for piece in ranked
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]


def _read_fast_tokenizer(file: Path) -> tuple[_Pieces, _Merges]:
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        model = content["model"]
        if model["type"] != "BPE" or not model["byte_fallback"]:
            raise CheckpointError(
                f"{file} is not a Llama tokenizer: it is not BPE with byte fallback."
            )
        # Older files hold each pair as one string.
        pairs = [pair.split(" ", 1) if isinstance(pair, str) else pair for pair in model["merges"]]
        return dict(model["vocab"]), [(left, right) for left, right in pairs]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} cannot be read as a tokenizer: {error}") from error
