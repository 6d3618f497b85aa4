"""Llama's tokenizer as the original reads it, made fast, from 2023's files.

The original uses the slow, SentencePiece tokenizer, so ``tokenizer.model`` counts where it is there.
The fast tokenizer is built from its pieces by :func:`service.prompt.tokenizer.build_llama_tokenizer`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import AddedToken, Tokenizer

from service.errors import CheckpointError
from service.prompt.tokenizer import BOS, EOS, UNK, build_llama_tokenizer

# A full-width letter, a ligature and a double space survive Llama's normalisation as they are.
_PROBE = "a  \ufb01 \uff21"
_PROBE_NORMALISED = "▁" + _PROBE.replace(" ", "▁")
FILES = ("tokenizer.model", "tokenizer.json", "added_tokens.json")


def read_tokenizer(folder: Path, vocabulary: int) -> tuple[Tokenizer, list[Path], list[str]]:
    """The tokenizer in a language model's folder, without ``<ImageHere>``.

    Args:
        vocabulary: Rows of the language model's embedding table.

    Returns:
        The tokenizer, the files it was made of, and notes for the user.

    Raises:
        CheckpointError: there is none, or it is not of Llama's kind.
    """
    model, fast = folder / "tokenizer.model", folder / "tokenizer.json"
    if model.is_file():
        file, (pieces, merges) = model, _read_sentencepiece(model)
    elif fast.is_file():
        file, (pieces, merges) = fast, _read_fast(fast)
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
    added, notes = _added_tokens(folder / "added_tokens.json", len(pieces), vocabulary)
    # 4.30's slow tokenizer strips the text around a token of this kind.
    tokenizer.add_tokens(
        [AddedToken(token, lstrip=True, rstrip=True, normalized=False) for token in added]
    )
    files = [file, folder / "added_tokens.json"] if added else [file]
    return tokenizer, files, notes


def _read_sentencepiece(file: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
    except (RuntimeError, OSError, TypeError) as error:
        raise CheckpointError(f"{file} cannot be read as a SentencePiece model: {error}") from error
    size = processor.get_piece_size()
    if processor.normalize(_PROBE) != _PROBE_NORMALISED or not any(
        processor.is_byte(piece) for piece in range(size)
    ):
        raise CheckpointError(
            f"{file} is no Llama tokenizer: it changes characters or spaces, or has no byte pieces."
        )
    pieces = {processor.id_to_piece(piece): piece for piece in range(size)}
    scores = {
        processor.id_to_piece(piece): processor.get_score(piece)
        for piece in range(size)
        if not (
            processor.is_byte(piece) or processor.is_control(piece) or processor.is_unknown(piece)
        )
    }
    return pieces, _merges(scores)


def _merges(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """The pairs that SentencePiece joins, best first: any two pieces whose union is a piece."""
    ranked = sorted(scores, key=lambda piece: -scores[piece])
    return [
        (piece[:cut], piece[cut:])
        for piece in ranked
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]


def _read_fast(file: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        model = content["model"]
        if model["type"] != "BPE" or not model["byte_fallback"]:
            raise CheckpointError(f"{file} is no Llama tokenizer: no BPE with byte fallback.")
        # Older files hold each pair as one string.
        pairs = [pair.split(" ", 1) if isinstance(pair, str) else pair for pair in model["merges"]]
        return dict(model["vocab"]), [(left, right) for left, right in pairs]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} cannot be read as a tokenizer: {error}") from error


def _added_tokens(file: Path, first: int, vocabulary: int) -> tuple[list[str], list[str]]:
    """Tokens that a folder adds (Vicuna's ``[PAD]``), where the language model has rows for them."""
    if not file.is_file():
        return [], []
    try:
        given: dict[str, int] = json.loads(file.read_text("utf-8"))
        ordered = sorted((int(number), str(token)) for token, number in given.items())
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    new = [(number, token) for number, token in ordered if number >= first]
    usable = []
    for expected, (number, token) in enumerate(new, start=first):
        if number != expected or number >= vocabulary:
            break
        usable.append(token)
    left_out = [token for _, token in new[len(usable) :]]
    if not left_out:
        return usable, []
    return usable, [
        f"Tokens of {file.name} are left out, as the language model has no embeddings for them: "
        + " ".join(left_out)
    ]
