"""Training sequences of the text side: conversations as token ids, with slots in the places of images."""

import random
from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import Dataset

from service.demo.slots import MARKER, loosened, slot_words
from service.demo.tokens import SYSTEM, Codec
from service.scenes.conversations.asking import ask, casual, without_image
from service.scenes.conversations.descriptions import web_caption
from service.scenes.conversations.small_talk import small_talk
from service.scenes.conversations.two_images import compare
from service.scenes.scene import Scene, draw_scene, rng_for
from service.training.formats import normalise_caption

IGNORED = -100
"""Label of a token that is not learnt."""


@dataclass(frozen=True)
class Lengths:
    """How long sequences are, in tokens.

    Attributes:
        drill, conversation: Turns are added until a drill or a conversation has this many.
        most: What is longer is cut: most of a batch would be padding.
    """

    drill: int = 100
    conversation: int = 170
    most: int = 240


SHORT = Lengths()
LONG = Lengths(drill=300, conversation=400, most=480)
"""As long as a user's own conversations become."""


Sorts = tuple[tuple[str, ...], ...]
# Few different shapes: a CPU's bfloat16 matrix kernels are compiled anew for each one.
_STEP = 16
_SORT = 16
_PART = 4


@dataclass
class Encoded:
    """One training sequence.

    Attributes:
        ids: Token ids; 0 where a slot stands.
        labels: Ids to predict at their own place, -100 elsewhere.
        slots: Place of each slot, with its weighted words.
    """

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    slots: list[tuple[int, list[tuple[str, float]]]] = field(default_factory=list)

    def say(self, ids: list[int], learn: bool = False) -> None:
        """Append tokens; ``learn`` makes them targets."""
        self.ids += ids
        self.labels += ids if learn else [IGNORED] * len(ids)

    def show(self, scene: Scene, rng: random.Random) -> None:
        """Append an image's slots."""
        exact = rng.random() < 0.3
        for words in slot_words(scene):
            said = [(word, 1.0) for word in words] if exact else loosened(words, rng)
            self.slots.append((len(self.ids), said))
            self.say([0])


FIRST_DRILLED: tuple[str, ...] = (
    *("place", "colour", "shape", "where", "background", "count", "exists", "size", "written"),
)
HARD_DRILLED: tuple[str, ...] = (
    *("relation",) * 5,
    *("count_some",) * 4,
    *("exists", "exists", "where", "place", "place", "colour", "shape", "size"),
)
STEPS_DRILLED: tuple[str, ...] = (
    *("relation",) * 5,
    *("count_some",) * 4,
    *("exists",) * 3,
    *("where", "place", "colour", "shape", "size"),
)
RELATIONS_DRILLED: tuple[str, ...] = (*("relation",) * 7, *STEPS_DRILLED)
HARD_SORTS: Sorts = (HARD_DRILLED, HARD_DRILLED, HARD_DRILLED, ("describe",), ())
STEPS_SORTS: Sorts = (STEPS_DRILLED, STEPS_DRILLED, (), STEPS_DRILLED, ("describe",), ())
RELATIONS_SORTS: Sorts = (
    RELATIONS_DRILLED,
    RELATIONS_DRILLED,
    (),
    RELATIONS_DRILLED,
    ("describe",),
)
_TWO_IMAGES = ("compare",)
COMPARE_SORTS: Sorts = (
    _TWO_IMAGES,
    STEPS_DRILLED,
    _TWO_IMAGES,
    RELATIONS_DRILLED,
    (),
    _TWO_IMAGES,
    ("describe",),
)
DISTORTED_SORTS: Sorts = (
    STEPS_DRILLED,
    ("exists",),
    _TWO_IMAGES,
    (),
    STEPS_DRILLED,
    ("describe",),
    ("exists", "place"),
)
MANY_DRILLED: tuple[str, ...] = (*STEPS_DRILLED, *("json", "describe") * 3, "poem")
LONG_SORTS: Sorts = (MANY_DRILLED, (), ("json",), MANY_DRILLED, _TWO_IMAGES)
MIXED_SORTS: Sorts = (
    ("exists",),
    MANY_DRILLED,
    ("exists", "place"),
    (),
    ("exists",),
    _TWO_IMAGES,
    STEPS_DRILLED,
)
MIXED: tuple[Lengths, ...] = (SHORT, LONG, SHORT, LONG, SHORT, LONG, SHORT)
"""The last round's lengths, in turn with its sorts."""


def encode_drill(
    codec: Codec, rng: random.Random, kinds: tuple[str, ...], lengths: Lengths = SHORT
) -> Encoded:
    """A short sequence of nothing but questions of these kinds about one image."""
    scene = draw_scene(rng)
    encoded = Encoded()
    encoded.say([codec.start])
    encoded.say(codec.begin("###Human: <Img>"))
    encoded.show(scene, rng)
    encoded.say(codec.begin("</Img>"))
    first = True
    while first or len(encoded.ids) < lengths.drill:
        turn = ask(scene, rng, rng.choice(kinds))
        if not first:
            encoded.say(codec.go_on("Human:"))
        encoded.say(codec.go_on(f" {turn.question}"))
        _answer(codec, encoded, rng, turn.answer)
        first = False
    return encoded


def encode_comparison(codec: Codec, rng: random.Random, lengths: Lengths = SHORT) -> Encoded:
    """A sequence of nothing but questions about two images."""
    encoded = Encoded()
    encoded.say([codec.start])
    _two_images(codec, encoded, rng, "###Human:", lengths)
    return encoded


def encode_conversation(codec: Codec, rng: random.Random, lengths: Lengths = SHORT) -> Encoded:
    """Draw one sequence: a chat about an image, two images or none, or captions in stage 1's format."""
    style = rng.random()
    encoded = Encoded()
    if style < 0.10:
        for _ in range(4):
            scene = draw_scene(rng)
            encoded.say([codec.start])
            encoded.show(scene, rng)
            encoded.say(codec.begin(normalise_caption(web_caption(scene, rng)) + "\n"), learn=True)
        return encoded
    encoded.say([codec.start])
    opening = (SYSTEM if rng.random() < 0.5 else "") + "###Human:"
    if style < 0.18:
        _chat(codec, encoded, rng, opening)
    elif style < 0.27:
        _two_images(codec, encoded, rng, opening, lengths)
    else:
        _one_image(codec, encoded, rng, opening, lengths)
    return encoded


def _chat(codec: Codec, encoded: Encoded, rng: random.Random, opening: str) -> None:
    encoded.say(codec.begin(opening))
    for turn_number in range(rng.randint(2, 5)):
        turn = small_talk(rng) if rng.random() < 0.6 else without_image(draw_scene(rng), rng)
        if turn_number:
            encoded.say(codec.go_on("Human:"))
        encoded.say(codec.go_on(f" {casual(turn.question, rng)}"))
        _answer(codec, encoded, rng, turn.answer)


def _one_image(
    codec: Codec, encoded: Encoded, rng: random.Random, opening: str, lengths: Lengths
) -> None:
    scene = draw_scene(rng)
    late = rng.random() < 0.08
    encoded.say(codec.begin(opening))
    if late:
        turn = small_talk(rng)
        encoded.say(codec.go_on(f" {casual(turn.question, rng)}"))
        _answer(codec, encoded, rng, turn.answer)
        encoded.say(codec.go_on("Human:"))
    encoded.say(codec.go_on(" <Img>"))
    encoded.show(scene, rng)
    encoded.say(codec.begin("</Img>"))
    first = True
    while first or len(encoded.ids) < lengths.conversation:
        turn = small_talk(rng) if rng.random() < 0.04 else ask(scene, rng)
        if not first:
            encoded.say(codec.go_on("Human:"))
        encoded.say(codec.go_on(f" {casual(turn.question, rng)}"))
        _answer(codec, encoded, rng, turn.answer)
        first = False


def _two_images(
    codec: Codec, encoded: Encoded, rng: random.Random, opening: str, lengths: Lengths
) -> None:
    scenes = draw_scene(rng), draw_scene(rng)
    encoded.say(codec.begin(f"{opening} <Img>"))
    encoded.show(scenes[0], rng)
    # Sent in one message, or in two turns.
    apart = rng.random() < 0.35
    if apart:
        turn = ask(scenes[0], rng)
        encoded.say(codec.begin(f"</Img> {casual(turn.question, rng)}"))
        _answer(codec, encoded, rng, turn.answer)
        encoded.say(codec.go_on("Human: <Img>"))
    else:
        encoded.say(codec.begin("</Img> <Img>"))
    encoded.show(scenes[1], rng)
    encoded.say(codec.begin("</Img>"))
    first = True
    while first or len(encoded.ids) < lengths.conversation:
        turn = compare(*scenes, rng)
        if not first:
            encoded.say(codec.go_on("Human:"))
        encoded.say(codec.go_on(f" {casual(turn.question, rng)}"))
        _answer(codec, encoded, rng, turn.answer)
        first = False


def _answer(codec: Codec, encoded: Encoded, rng: random.Random, answer: str) -> None:
    # The published training format has a space before ###; the demo's prompt has not.
    encoded.say(codec.go_on(f"{' ' if rng.random() < 0.25 else ''}###Assistant:"))
    if rng.random() < 0.7:
        # As answered: the prompt ends in a lone space, and the answer has its own.
        encoded.say(codec.go_on(" "))
    # As an earlier answer stands in the prompt of the next turn, otherwise.
    encoded.say(codec.go_on(f" {answer}###"), learn=True)


class Conversations(Dataset[Encoded]):
    """Sequence ``i`` of a split.

    The first ``drills`` of them ask what one look at one slot answers. Later ones are of the sorts in
    turn: the kinds of questions of a drill, or nothing for a conversation.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        split: str,
        length: int,
        drills: int = 0,
        sorts: Sorts = (HARD_DRILLED, HARD_DRILLED, (), (), ()),
        lengths: tuple[Lengths, ...] = (SHORT,),
    ) -> None:
        self.codec, self.split, self.length = Codec(tokenizer), split, length
        self.drills, self.sorts, self.lengths = drills, sorts, lengths

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Encoded:
        rng = rng_for(self.split, index)
        # A whole batch of one sort and one length: drills are short.
        batch = index // _SORT
        lengths = self.lengths[batch % len(self.lengths)]
        if index < self.drills:
            return encode_drill(self.codec, rng, FIRST_DRILLED, lengths)
        kinds = self.sorts[batch % len(self.sorts)]
        if kinds == _TWO_IMAGES:
            return encode_comparison(self.codec, rng, lengths)
        if kinds:
            return encode_drill(self.codec, rng, kinds, lengths)
        return encode_conversation(self.codec, rng, lengths)

    def collate(self, samples: list[Encoded]) -> list[dict[str, Tensor]]:
        """A batch in parts of four sequences, the shortest ones first: a quarter of it would be padding.

        A part has ``ids`` and ``labels [sequences, length]``, and its slots' ``places`` among all its
        tokens, ``words`` and ``weights [slots, 12]``. The few sequences that are too long are cut.
        """
        by_length = sorted(samples, key=lambda sample: len(sample.ids))
        return [
            self._pad(by_length[first : first + _PART]) for first in range(0, len(samples), _PART)
        ]

    def _pad(self, samples: list[Encoded]) -> dict[str, Tensor]:
        longest = max(len(sample.ids) for sample in samples)
        most = max(lengths.most for lengths in self.lengths)
        length = min(longest + -longest % _STEP, most)
        ids = torch.zeros(len(samples), length, dtype=torch.long)
        labels = torch.full((len(samples), length), IGNORED)
        places, words, weights = [], [], []
        for row, sample in enumerate(samples):
            kept = min(len(sample.ids), length)
            ids[row, :kept] = torch.tensor(sample.ids[:kept])
            labels[row, :kept] = torch.tensor(sample.labels[:kept])
            for place, said in sample.slots:
                if place >= length:
                    continue
                places.append(row * length + place)
                padding = 11 - len(said)
                words.append([MARKER, *(self.codec.word(word) for word, _ in said)] + [0] * padding)
                weights.append([1.0, *(weight for _, weight in said)] + [0.0] * padding)
        return {
            "ids": ids,
            "labels": labels,
            "places": torch.tensor(places, dtype=torch.long),
            "words": torch.tensor(words, dtype=torch.long).reshape(-1, 12),
            "weights": torch.tensor(weights).reshape(-1, 12),
        }
