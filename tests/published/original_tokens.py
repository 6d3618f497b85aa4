"""The original's token ids, from SentencePiece itself."""

import re
from pathlib import Path

import sentencepiece

from tests.published.original_chat import IMAGE_TOKEN

SPECIAL = {"<unk>": 0, "<s>": 1, "</s>": 2}


def encode_prompt(model: Path, prompt: str, image_id: int) -> list[int]:
    """Return the original's token ids for a prompt.

    It tokenizes each segment between two images separately, and puts ``<s>`` before the first only.
    Within a segment the slow tokenizer splits at special tokens, and SentencePiece adds its space
    before each remaining piece.
    """
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    ids = [SPECIAL["<s>"]]
    for number, segment in enumerate(prompt.split(IMAGE_TOKEN)):
        if number:
            ids.append(image_id)
        for part in re.split("(<unk>|<s>|</s>)", segment):
            if part:
                ids += [SPECIAL[part]] if part in SPECIAL else processor.encode(part)
    return ids
