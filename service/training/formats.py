"""Samples to token ids, in the published format of each stage.

The text before and after the image, and the target, are tokenized one by one, as the original does:
each piece has its own dummy-prefix space.
"""

import re
from dataclasses import dataclass

from tokenizers import Tokenizer

from service.errors import AlignmentError
from service.families import IMAGE_TOKEN, Family
from service.training.presets import Stage

INSTRUCTIONS = (
    "Describe this image in detail.",
    "Take a look at this image and describe what you notice.",
    "Please provide a detailed description of the picture.",
    "Could you describe the contents of this image for me?",
)
"""Stage 2's instructions: one is drawn for each batch."""

LONGEST_CAPTION = 50
"""Words of a stage-1 caption at most."""

# The space before the answer's tag is the training format's; the demo's prompt has none.
_TURNS = {
    "minigpt4-vicuna": ("###Human: ", " ###Assistant: ", "###"),
    "minigpt4-llama2": ("[INST] ", " [/INST] ", "</s>"),
    "minigpt-v2": ("[INST] ", " [/INST]", "</s>"),
}


@dataclass(frozen=True)
class TokenizedSample:
    """Token ids around an image.

    Attributes:
        before: ``<s>`` and, in stage 2, the text before the image.
        after: The text between the image and the target; empty in stage 1.
        target: What the model learns to say, its end mark included unless it was cut.
    """

    before: list[int]
    after: list[int]
    target: list[int]


def normalise_caption(caption: str) -> str:
    """Lower case, most punctuation and runs of white space to one space, 50 words at most."""
    spaced = re.sub(r"[.!\"()*#:;~]", " ", caption.lower())
    words = re.sub(r"\s{2,}", " ", spaced).rstrip("\n").strip(" ").split(" ")
    return " ".join(words[:LONGEST_CAPTION])


def stage2_prompt(family: Family, instruction: str) -> str:
    """``###Human: <Img><ImageHere></Img> {instruction} ###Assistant: `` or the Llama-2 form of it."""
    before, after, _ = _TURNS[family.name]
    return f"{before}<Img>{IMAGE_TOKEN}</Img> {instruction}{after}"


def tokenize_sample(
    tokenizer: Tokenizer, family: Family, stage: Stage, text: str, instruction: str
) -> TokenizedSample:
    """Token ids of a caption (stage 1) or an answer (stage 2); no position for the image."""
    begin = _start(tokenizer)
    if stage.name == "stage1":
        target = _ids(tokenizer, normalise_caption(text) + "\n")
        return TokenizedSample([begin], [], target[: stage.target_tokens])
    before, after = stage2_prompt(family, instruction).split(IMAGE_TOKEN)
    target = _ids(tokenizer, text + _TURNS[family.name][2])
    return TokenizedSample(
        [begin, *_ids(tokenizer, before)],
        _ids(tokenizer, after),
        target[: stage.target_tokens],
    )


def _start(tokenizer: Tokenizer) -> int:
    start: int | None = tokenizer.token_to_id("<s>")
    if start is None:
        raise AlignmentError("The tokenizer has no token <s>; it is no Llama tokenizer.")
    return start


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
