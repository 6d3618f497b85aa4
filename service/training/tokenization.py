"""Samples to token ids, in the published format of each stage.

As in the original, the text before the image, the text after it, and the target are tokenized one
by one, so that each of the three has its own dummy-prefix space.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tokenizers import Tokenizer

from service.errors import AlignmentError
from service.families import IMAGE_TOKEN, Family, TurnFormat
from service.prompt.instructions import STAGE2_INSTRUCTIONS
from service.training.presets import Stage
from service.training.samples import Turn

LONGEST_CAPTION = 50
"""Most words of a stage-1 caption; the rest is cut."""

IMAGE: Final = -1
"""Stands in a sample's ids for the embeddings of one image."""

IGNORED: Final = -100
"""Label of a position that does not count in the loss; PyTorch's default."""


@dataclass(frozen=True)
class TokenizedSample:
    """Token ids, and what the model learns to say at each place.

    Attributes:
        ids: Of the inputs; :data:`IMAGE` stands for an image's embeddings.
        labels: For each id the token that should stand there, or :data:`IGNORED`.
        images: Images of the sample. The last ones are not in ``ids`` where a long conversation was
            cut.
        is_cut: Whether the sample was longer than the stage allows.
    """

    ids: list[int]
    labels: list[int]
    images: int
    is_cut: bool = False


def normalise_caption(caption: str) -> str:
    """Lower the case, make most punctuation and white space one space, keep 50 words."""
    spaced = re.sub(r"[.!\"()*#:;~]", " ", caption.lower())
    words = re.sub(r"\s{2,}", " ", spaced).rstrip("\n").strip(" ").split(" ")
    return " ".join(words[:LONGEST_CAPTION])


def write_question(question: Sequence[str]) -> str:
    """Write a question as the service's prompts do: ``<Img><ImageHere></Img> {text}``."""
    parts = [question[0]]
    for text in question[1:]:
        parts += [f"<Img>{IMAGE_TOKEN}</Img>", text]
    return " ".join(part for part in parts if part)


def tokenize_sample(
    tokenizer: Tokenizer,
    family: Family,
    stage: Stage,
    turns: Sequence[Turn],
    rng: random.Random,
) -> TokenizedSample:
    """Tokenize a caption (stage 1) or a conversation (stage 2).

    Each text between images and each answer is tokenized on its own, as in the original. At most
    ``stage.target_tokens`` places are kept after the first question.

    Args:
        rng: Draws the instruction of a caption in stage 2.
    """
    start = _find_start_token(tokenizer, family)
    if stage.name == "stage1":
        target = _encode(tokenizer, normalise_caption(turns[0].answer) + "\n")
        return _cut([*start, IMAGE], [(target, target)], stage.target_tokens, 1)
    form = family.turn
    prompts = [
        _encode_prompt(tokenizer, _write_prompt(form, number, turn, rng))
        for number, turn in enumerate(turns)
    ]
    said = _encode(tokenizer, form.said)
    rest: list[tuple[list[int], list[int]]] = []
    for turn, later in zip(turns, [*prompts[1:], None], strict=True):
        answer = _encode(tokenizer, turn.answer + form.end)
        if later is None:
            rest.append((answer, answer))
            continue
        # The end mark is learnt in the place of the sign that begins the next question, so that the
        # model sees in training what it will see in a prompt.
        shown = answer if form.said == form.end else [*answer[:-1], *said]
        question = later[len(said) :]
        rest += [(shown, answer), (question, [IGNORED] * len(question))]
    images = sum(turn.images for turn in turns)
    return _cut([*start, *prompts[0]], rest, stage.target_tokens, images)


def _write_prompt(form: TurnFormat, number: int, turn: Turn, rng: random.Random) -> str:
    question = turn.question
    if question is None:
        question = ("", rng.choice(STAGE2_INSTRUCTIONS))
    return (form.later if number else form.first) + write_question(question) + form.answer


def _encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    first, *rest = prompt.split(IMAGE_TOKEN)
    ids = _encode(tokenizer, first)
    for segment in rest:
        ids += [IMAGE, *_encode(tokenizer, segment)]
    return ids


def _cut(
    first: list[int], rest: Sequence[tuple[list[int], list[int]]], longest: int, images: int
) -> TokenizedSample:
    """Join the first question and pairs of ids and labels, ``longest`` places of them at most."""
    ids = [token for shown, _ in rest for token in shown]
    labels = [label for _, learnt in rest for label in learnt]
    return TokenizedSample(
        [*first, *ids[:longest]],
        [IGNORED] * len(first) + labels[:longest],
        images,
        len(ids) > longest,
    )


def _find_start_token(tokenizer: Tokenizer, family: Family) -> list[int]:
    token = family.turn.start
    if not token:
        return []
    start: int | None = tokenizer.token_to_id(token)
    if start is None:
        raise AlignmentError(
            f"The tokenizer has no token {token}, so it does not belong to {family.name}."
        )
    return [start]


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
