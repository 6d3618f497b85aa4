"""The text side: a tokenizer and a small Llama that learn conversations, and never see an image.

Where a conversation has an image, the language model reads **sums of its own word embeddings**: one sum
for each thing that a query token of the vision side will own (the words of the object in a cell, of the
background, of the count, of what is written). Nothing else about images reaches it. Alignment then has
to find the one linear map from query tokens to such sums.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM

from service.demo.conversations import (
    PLURALS,
    ask,
    casual,
    compare,
    small_talk,
    vocabulary_words,
    web_caption,
    without_image,
)
from service.demo.fitting import Schedule, fit
from service.demo.recall import ready_for_recall
from service.demo.scenes import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    COLUMNS,
    KINDS,
    NUMBERS,
    SIZES,
    TEXTS,
    WORDS,
    Scene,
    cell_name,
    draw_scene,
    rng_for,
)
from service.prompt.tokenizer import BOS, BYTE_TOKENS, EOS, UNK, llama_tokenizer

SYSTEM = (
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I "
    "provide it to you. Please answer my questions."
)
"""The original demo's system text, which the family's chat template writes."""

SLOTS = CELLS + 3
MARKER = 0
"""Id of ``<unk>``, which stands where an image is: every slot holds its embedding besides its words."""

LM_SCHEDULE = Schedule(steps=3600, batch=16, learning_rate=2e-3, weight_decay=0.02)
LM_HARD_SCHEDULE = Schedule(
    steps=1800, batch=16, learning_rate=1.5e-3, weight_decay=0.02, warmup=50
)
"""The second round: more of what takes several looks, and of descriptions."""

LM_STEPS_SCHEDULE = Schedule(
    steps=2600, batch=16, learning_rate=1.5e-3, weight_decay=0.02, warmup=50
)
"""The third round: above all what is reasoned out in small steps."""

LM_RELATIONS_SCHEDULE = Schedule(
    steps=600, batch=16, learning_rate=1e-3, weight_decay=0.02, warmup=30
)
"""The fourth round: relations, which take the most steps."""

LM_COMPARE_SCHEDULE = Schedule(
    steps=700, batch=16, learning_rate=1e-3, weight_decay=0.02, warmup=30
)
"""The fifth round: two images, beside everything that is hard."""

LM_DISTORTED_SCHEDULE = Schedule(
    steps=900, batch=16, learning_rate=1e-3, weight_decay=0.02, warmup=30
)
"""The last round: everything again, with slots as a projection that is not quite right would give them."""

_PIECES = 1100
_WORDS = 620
_LONG_ENOUGH = 170
_LONGEST = 240
# Few different shapes: the CPU's matrix kernels are compiled anew for each one.
_STEP = 40
_TARGET_STEP = 256
_DRILL_LENGTH = 100
_FACT_WEIGHT = 4.0
_DRILLS = 0.12
_DISTORTION = 0.8
_SORT = 16
_IGNORED = -100
PLACES = tuple(cell_name(cell) for cell in range(CELLS))
_GROUPS: tuple[tuple[str, ...], ...] = (
    KINDS,
    COLOURS,
    SIZES,
    PLACES,
    BACKGROUNDS,
    NUMBERS,
    TEXTS,
)


# The tokenizer.


def learn_tokenizer() -> Tokenizer:
    """Llama's kind of tokenizer from generated conversations: whole words, with and without ``▁``.

    Pieces are learnt within words only, so that no piece glues a word to its punctuation or to ``###``.
    """
    words = Counter(word for text in _corpus() for word in re.findall(r"[A-Za-z]+", text))
    learner = Tokenizer(models.BPE(unk_token=UNK))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    letters = [chr(code) for code in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES, initial_alphabet=letters, show_progress=False, min_frequency=2
    )
    lines = (" ".join([word] * count) for word, count in sorted(words.items()))
    learner.train_from_iterator(lines, trainer)
    merges = [("#", "#"), ("##", "#"), ("▁", "###")]
    merges += _merges_of(learner)
    whole = [word for word, _ in words.most_common(_WORDS) if len(learner.encode(word).ids) == 1]
    merges += [("▁", word) for word in [*whole, '"', "(", "{", "["]]
    # A place is one piece, so that finding it takes one look: "▁top▁left" is never "▁top" or "▁left".
    merges += [
        (f"{space}{row}", f"▁{column}")
        for row in ("top", "bottom")
        for column in ("left", "right")
        for space in ("▁", "")
    ]
    vocabulary = [UNK, BOS, EOS, *BYTE_TOKENS, "▁", *letters]
    vocabulary += list(dict.fromkeys(left + right for left, right in merges))
    unique = dict.fromkeys(vocabulary)
    return llama_tokenizer({piece: number for number, piece in enumerate(unique)}, merges)


def _merges_of(learner: Tokenizer) -> list[tuple[str, str]]:
    return [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]


def _corpus() -> Iterator[str]:
    for index in range(3000):
        rng = rng_for("tokenizer", index)
        scene = draw_scene(rng)
        turns = [ask(scene, rng), ask(scene, rng), small_talk(rng), compare(scene, scene, rng)]
        for turn in turns:
            yield turn.question
            yield turn.question.lower()
            yield turn.answer
    # Words that every answer depends on are whole pieces however rare they are.
    yield from [" ".join(vocabulary_words())] * 200
    yield from [
        " ".join([*WORDS, *COLUMNS, "empty", "nothing", "written", "background", "objects"])
    ] * 200
    yield from [SYSTEM + " ###Human: ###Assistant: Please, image picture"] * 200


@dataclass
class Codec:
    """Texts to token ids, piece by piece, and words to the one id that stands for them in a slot."""

    tokenizer: Tokenizer
    _continuing: Tokenizer = field(init=False)

    def __post_init__(self) -> None:
        # The same pieces without the dummy-prefix space: for text that goes on after other text.
        self._continuing = Tokenizer.from_str(self.tokenizer.to_str())
        self._continuing.normalizer = normalizers.Replace(" ", "▁")

    @property
    def start(self) -> int:
        """The id of ``<s>``."""
        return int(self.tokenizer.token_to_id(BOS))  # type: ignore[arg-type]

    def begin(self, text: str) -> list[int]:
        """Ids of a segment: at the start, after an image, or tokenized by itself."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def go_on(self, text: str) -> list[int]:
        """Ids of text that continues a segment."""
        return list(self._continuing.encode(text, add_special_tokens=False).ids)

    def word(self, word: str) -> int:
        """The last id of the word as it stands in a sentence (a digit follows a lone ``▁``)."""
        return self.begin(word)[-1]


# Slots: what the language model reads in an image's place.


def slot_words(scene: Scene) -> list[list[str]]:
    """Words of each of the 12 slots, in the order of the vision side's query tokens.

    Some say a word twice, so that all slots are about as long: attention compares them.
    """
    slots = [["empty", "empty", cell_name(cell)] for cell in range(CELLS)]
    for item in scene.objects:
        words = [item.kind, item.colour, item.size, item.place]
        slots[item.cell] = [*words, item.text] if item.text else words
    slots.append(["background", "background", scene.background])
    slots.append(["objects", "objects", NUMBERS[len(scene.objects)]])
    written = scene.written
    slots.append(["written", "written", written.text if written else "nothing"])
    return slots


_OTHERS = {word: group for group in _GROUPS for word in group}


def loosened(words: list[str], rng: random.Random) -> list[tuple[str, float]]:
    """Words with weights near one, and traces of other words: what an imperfect eye reports."""
    said = [(word, rng.uniform(0.8, 1.15)) for word in words]
    traces = [
        (rng.choice(_OTHERS[word]), rng.uniform(-0.15, 0.25))
        for word in words
        if word in _OTHERS and rng.random() < 0.4
    ]
    return said + traces


# Conversations as token ids.


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
        self.labels += ids if learn else [_IGNORED] * len(ids)

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
_Sorts = tuple[tuple[str, ...], ...]
_HARD_SORTS: _Sorts = (HARD_DRILLED, HARD_DRILLED, HARD_DRILLED, ("describe",), ())
_STEPS_SORTS: _Sorts = (STEPS_DRILLED, STEPS_DRILLED, (), STEPS_DRILLED, ("describe",), ())
_RELATIONS_SORTS: _Sorts = (
    RELATIONS_DRILLED,
    RELATIONS_DRILLED,
    (),
    RELATIONS_DRILLED,
    ("describe",),
)
_TWO_IMAGES = ("compare",)
_COMPARE_SORTS: _Sorts = (
    _TWO_IMAGES,
    STEPS_DRILLED,
    _TWO_IMAGES,
    RELATIONS_DRILLED,
    (),
    _TWO_IMAGES,
    ("describe",),
)
_DISTORTED_SORTS: _Sorts = (
    STEPS_DRILLED,
    ("exists",),
    _TWO_IMAGES,
    (),
    STEPS_DRILLED,
    ("describe",),
    ("exists", "place"),
)


def encode_drill(codec: Codec, rng: random.Random, kinds: tuple[str, ...]) -> Encoded:
    """A short sequence of nothing but questions of these kinds about one image."""
    scene = draw_scene(rng)
    encoded = Encoded()
    encoded.say([codec.start])
    encoded.say(codec.begin("###Human: <Img>"))
    encoded.show(scene, rng)
    encoded.say(codec.begin("</Img>"))
    first = True
    while first or len(encoded.ids) < _DRILL_LENGTH:
        turn = ask(scene, rng, rng.choice(kinds))
        if not first:
            encoded.say(codec.go_on("Human:"))
        encoded.say(codec.go_on(f" {turn.question}"))
        _answer(codec, encoded, rng, turn.answer)
        first = False
    return encoded


def encode_comparison(codec: Codec, rng: random.Random) -> Encoded:
    """A sequence of nothing but questions about two images."""
    encoded = Encoded()
    encoded.say([codec.start])
    _two_images(codec, encoded, rng, "###Human:")
    return encoded


def encode_conversation(codec: Codec, rng: random.Random) -> Encoded:
    """Draw one sequence: a chat about an image, two images or none, or captions in stage 1's format."""
    style = rng.random()
    encoded = Encoded()
    if style < 0.10:
        for _ in range(4):
            scene = draw_scene(rng)
            encoded.say([codec.start])
            encoded.show(scene, rng)
            encoded.say(codec.begin(_plain(web_caption(scene, rng)) + "\n"), learn=True)
        return encoded
    encoded.say([codec.start])
    opening = (SYSTEM if rng.random() < 0.5 else "") + "###Human:"
    if style < 0.18:
        _chat(codec, encoded, rng, opening)
    elif style < 0.27:
        _two_images(codec, encoded, rng, opening)
    else:
        _one_image(codec, encoded, rng, opening)
    return encoded


def _plain(caption: str) -> str:
    """The published normalisation of captions, for the same text in stage 1's place."""
    return re.sub(r"\s{2,}", " ", re.sub(r"([.!\"()*#:;~])", " ", caption.lower())).strip()


def _chat(codec: Codec, encoded: Encoded, rng: random.Random, opening: str) -> None:
    encoded.say(codec.begin(opening))
    for turn_number in range(rng.randint(2, 5)):
        turn = small_talk(rng) if rng.random() < 0.6 else without_image(draw_scene(rng), rng)
        if turn_number:
            encoded.say(codec.go_on("Human:"))
        encoded.say(codec.go_on(f" {casual(turn.question, rng)}"))
        _answer(codec, encoded, rng, turn.answer)


def _one_image(codec: Codec, encoded: Encoded, rng: random.Random, opening: str) -> None:
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
    while first or len(encoded.ids) < _LONG_ENOUGH:
        turn = small_talk(rng) if rng.random() < 0.04 else ask(scene, rng)
        if not first:
            encoded.say(codec.go_on("Human:"))
        encoded.say(codec.go_on(f" {casual(turn.question, rng)}"))
        _answer(codec, encoded, rng, turn.answer)
        first = False


def _two_images(codec: Codec, encoded: Encoded, rng: random.Random, opening: str) -> None:
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
    while first or len(encoded.ids) < _LONG_ENOUGH:
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
        sorts: tuple[tuple[str, ...], ...] = (HARD_DRILLED, HARD_DRILLED, (), (), ()),
    ) -> None:
        self.codec, self.split, self.length = Codec(tokenizer), split, length
        self.drills, self.sorts = drills, sorts

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Encoded:
        rng = rng_for(self.split, index)
        if index < self.drills:
            return encode_drill(self.codec, rng, FIRST_DRILLED)
        # A whole batch of one sort: drills are short.
        kinds = self.sorts[index // _SORT % len(self.sorts)]
        if kinds == _TWO_IMAGES:
            return encode_comparison(self.codec, rng)
        if kinds:
            return encode_drill(self.codec, rng, kinds)
        return encode_conversation(self.codec, rng)

    def collate(self, samples: list[Encoded]) -> dict[str, Tensor]:
        """Pad to ``[batch, length]``; slots as ``words`` and ``weights [slots in all, 12]``.

        The few sequences longer than 240 tokens are cut: most of a batch would be padding.
        """
        longest = max(len(sample.ids) for sample in samples)
        length = min(longest + -longest % _STEP, _LONGEST)
        ids = torch.zeros(len(samples), length, dtype=torch.long)
        labels = torch.full((len(samples), length), _IGNORED)
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


# The language model.


def llama_config(vocabulary: int) -> LlamaConfig:
    """A Llama of about 2 million parameters; heads of 64, which every vLLM attention kernel has."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=3,
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        attention_bias=True,
        # Slow rotation: what a word is must compare alike near and far.
        rope_parameters={"rope_type": "default", "rope_theta": 1e10},
    )


class TextStudent(nn.Module):
    """The language model, fed with word sums in the places of images."""

    def __init__(self, codec: Codec, seed: int = 0) -> None:
        super().__init__()
        vocabulary = codec.tokenizer.get_vocab_size()
        self.llama = LlamaForCausalLM(llama_config(vocabulary))
        ready_for_recall(self.llama, *_word_forms(codec), MARKER)
        self.width = self.llama.config.hidden_size
        self.noise = torch.Generator().manual_seed(seed)
        self.distortion = 0.0
        weights = torch.ones(vocabulary)
        weights[fact_tokens(codec)] = _FACT_WEIGHT
        self.register_buffer("weights", weights, persistent=False)

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """``[batch, length, 192]``: tokens, and noisy word sums where the slots are."""
        table = self.llama.model.embed_tokens
        embedded = table(batch["ids"])
        if not len(batch["places"]):
            return embedded
        sums = (table(batch["words"]) * batch["weights"][..., None]).sum(1)
        level = 0.3 * torch.rand(len(sums), 1, generator=self.noise)
        noise = torch.randn(sums.shape, generator=self.noise)
        scale = sums.detach().pow(2).mean().sqrt()
        sums = sums + level * scale * noise + scale * self._slant(batch)
        if self.distortion:
            sums = sums + self._distortion(sums, batch)
        flat = embedded.flatten(0, 1).index_copy(0, batch["places"], sums)
        return flat.view_as(embedded)

    def _slant(self, batch: dict[str, Tensor]) -> Tensor:
        """What all slots of a sequence have in common: a linear map is never quite the right one."""
        sequences, length = batch["ids"].shape
        level = 0.2 * torch.rand(sequences, 1, generator=self.noise)
        slant = level * torch.randn(sequences, self.width, generator=self.noise)
        return slant[batch["places"] // length]

    def _distortion(self, sums: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """What a wrong linear map adds, another one for each sequence: projections that are learnt from
        captions are as far from the word sums as these sums are long."""
        sequences, length = batch["ids"].shape
        level = self.distortion * torch.rand(sequences, 1, 1, generator=self.noise)
        wrong = torch.randn(sequences, self.width, self.width, generator=self.noise)
        wrong = level / self.width**0.5 * wrong
        return (sums[:, None] @ wrong[batch["places"] // length])[:, 0]

    def loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Next-token loss on the answers only."""
        hidden = self.llama.model(inputs_embeds=self.embed(batch), use_cache=False)
        labels = batch["labels"][:, 1:]
        places = (labels.flatten() != _IGNORED).nonzero().flatten()
        number = len(places)
        places = functional.pad(places, (0, -number % _TARGET_STEP))
        states = hidden.last_hidden_state[:, :-1].flatten(0, 1)[places]
        logits, wanted = (
            self.llama.lm_head(states).float()[:number],
            labels.flatten()[places[:number]],
        )
        loss = functional.cross_entropy(logits, wanted, weight=self.weights)
        right = (logits.argmax(-1) == wanted).float()
        facts = self.weights[wanted] > 1
        return loss, {"tokens right": float(right.mean()), "facts": float(right[facts].mean())}


def fact_tokens(codec: Codec) -> list[int]:
    """Ids of the words that make an answer true or false, with and without ``▁``."""
    words = {*_OTHERS, "no", "nothing", "Nothing", "above", "below", "first", "second", "both"}
    words |= {"corner", "centre", "line"}
    # Small words that decide: how a place begins, whether an object counts, whether it was the last.
    words |= {"In", "On", "At", "in", "on", "at", "to", "(", "so"}
    return sorted(
        {codec.begin(word)[-1] for word in words} | {codec.go_on(word)[-1] for word in words}
    )


def _word_forms(codec: Codec) -> tuple[list[dict[int, float]], dict[int, list[int]]]:
    """Axes of the words that slots hold, with and without ``▁``; and the words that plurals are of."""
    words = (*KINDS, *COLOURS, *PLACES, *TEXTS, *SIZES, *BACKGROUNDS, "background", "written")
    facts = [
        dict.fromkeys((codec.word(word), codec.go_on(word)[-1]), 1.0)
        for word in dict.fromkeys(words)
    ]
    # What places have in common: relations are about rows and columns.
    for line in range(3):
        facts.append({codec.word(PLACES[3 * line + other]): 0.5 for other in range(3)})
        facts.append({codec.word(PLACES[3 * other + line]): 0.5 for other in range(3)})
    plurals = {codec.word(many): [codec.word(one)] for one, many in PLURALS.items()}
    return facts, plurals


@dataclass(frozen=True)
class TextRounds:
    """The text side's rounds, one after the other: each with its schedule and its sorts of questions."""

    first: Schedule = LM_SCHEDULE
    hard: Schedule = LM_HARD_SCHEDULE
    steps: Schedule = LM_STEPS_SCHEDULE
    relations: Schedule = LM_RELATIONS_SCHEDULE
    compare: Schedule = LM_COMPARE_SCHEDULE
    distorted: Schedule = LM_DISTORTED_SCHEDULE


def train_text(
    tokenizer: Tokenizer, checkpoint: Path, rounds: TextRounds | None = None
) -> LlamaForCausalLM:
    """Train from seed 0, or go on from ``checkpoint`` and those beside it, one a round."""
    rounds = rounds or TextRounds()
    torch.manual_seed(0)
    student = TextStudent(Codec(tokenizer))
    number = rounds.first.steps * rounds.first.batch
    samples = Conversations(tokenizer, "text", number, drills=round(_DRILLS * number))
    fit(student, samples, samples.collate, student.loss, rounds.first, checkpoint)
    later = (
        ("hard", rounds.hard, _HARD_SORTS),
        ("steps", rounds.steps, _STEPS_SORTS),
        ("relations", rounds.relations, _RELATIONS_SORTS),
        ("compare", rounds.compare, _COMPARE_SORTS),
        ("distorted", rounds.distorted, _DISTORTED_SORTS),
    )
    for name, schedule, sorts in later:
        number = schedule.steps * schedule.batch
        samples = Conversations(tokenizer, f"text-{name}", number, sorts=sorts)
        file = checkpoint.with_stem(f"{checkpoint.stem}-{name}")
        student.distortion = _DISTORTION if name == "distorted" else 0.0
        fit(student, samples, samples.collate, student.loss, schedule, file)
    return student.llama
