"""Samples to token ids, in the published format of each stage.

As in the original, the text before the image, the text after it, and the target are tokenized one
by one, so that each of the three has its own dummy-prefix space.
"""

import re
from dataclasses import dataclass

from tokenizers import Tokenizer

from service.errors import AlignmentError
from service.families import IMAGE_TOKEN, Family
from service.training.presets import Stage

LONGEST_CAPTION = 50
"""Most words of a stage-1 caption; the rest is cut."""

# Training has a space before the answer's tag; the original's demo asks without it.
_TURNS = {
    "minigpt4-vicuna": ("###Human: ", " ###Assistant: ", "###"),
    "minigpt4-llama2": ("[INST] ", " [/INST] ", "</s>"),
    "minigpt-v2": ("[INST] ", " [/INST]", "</s>"),
}
"""For each family: before the image, after the instruction, and the end mark of the answer."""


@dataclass(frozen=True)
class TokenizedSample:
    """Token ids around an image.

    Attributes:
        before: ``<s>`` and, in stage 2, the text before the image.
        after: The text between the image and the target; empty in stage 1.
        target: What the model learns to say, with its end mark unless it was cut.
    """

    before: list[int]
    after: list[int]
    target: list[int]


def normalise_caption(caption: str) -> str:
    """Lower the case, make most punctuation and white space one space, keep 50 words."""
    spaced = re.sub(r"[.!\"()*#:;~]", " ", caption.lower())
    words = re.sub(r"\s{2,}", " ", spaced).rstrip("\n").strip(" ").split(" ")
    return " ".join(words[:LONGEST_CAPTION])


def make_stage2_prompt(family: Family, instruction: str) -> str:
    """Make ``###Human: <Img><ImageHere></Img> {instruction} ###Assistant: ``, by family."""
    before, after, _ = _TURNS[family.name]
    return f"{before}<Img>{IMAGE_TOKEN}</Img> {instruction}{after}"


def tokenize_sample(
    tokenizer: Tokenizer, family: Family, stage: Stage, text: str, instruction: str
) -> TokenizedSample:
    """Tokenize a caption (stage 1) or an answer (stage 2) and the text around the image."""
    start = _find_start_token(tokenizer)
    if stage.name == "stage1":
        target = _encode(tokenizer, normalise_caption(text) + "\n")
        return TokenizedSample([start], [], target[: stage.target_tokens])
    before, after = make_stage2_prompt(family, instruction).split(IMAGE_TOKEN)
    target = _encode(tokenizer, text + _TURNS[family.name][2])
    return TokenizedSample(
        [start, *_encode(tokenizer, before)],
        _encode(tokenizer, after),
        target[: stage.target_tokens],
    )


def _find_start_token(tokenizer: Tokenizer) -> int:
    start: int | None = tokenizer.token_to_id("<s>")
    if start is None:
        raise AlignmentError("The tokenizer has no token <s>, so it is not a Llama tokenizer.")
    return start


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
