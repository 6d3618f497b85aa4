"""Tokens that a language model's folder adds to Llama's tokenizer."""

import json
from pathlib import Path

from service.errors import CheckpointError


def read_added_tokens(file: Path, first: int, vocabulary: int) -> tuple[list[str], list[str]]:
    """Read the tokens that a folder adds, such as Vicuna's ``[PAD]``.

    Args:
        first: The id after the last piece.

    Returns:
        The tokens for which the language model has embeddings, and a note about the others.

    Raises:
        CheckpointError: the file cannot be read.
    """
    if not file.is_file():
        return [], []
    try:
        content: dict[str, int] = json.loads(file.read_text("utf-8"))
        ordered = sorted((int(id_), str(token)) for token, id_ in content.items())
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    new = [(id_, token) for id_, token in ordered if id_ >= first]
    usable = []
    for expected, (id_, token) in enumerate(new, start=first):
        if id_ != expected or id_ >= vocabulary:
            break
        usable.append(token)
    left_out = [token for _, token in new[len(usable) :]]
    if not left_out:
        return usable, []
    return usable, [
        f"Tokens of {file.name} are left out, because the language model has no embeddings for them: "
        + " ".join(left_out)
    ]
