"""The text side: a tokenizer and a small Llama that learn conversations, and never see an image.

Where a conversation has an image, the language model reads **sums of its own word embeddings**: one sum
for each thing that a query token of the vision side will own (the words of the object in a cell, of the
background, of the count, of what is written). Nothing else about images reaches it. Alignment then has
to find the one linear map from query tokens to such sums.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from service.demo.fit import Schedule, fit
from service.demo.recall import ready_for_recall
from service.demo.sequences import (
    COMPARE_SORTS,
    DISTORTED_SORTS,
    HARD_SORTS,
    IGNORED,
    LONG,
    LONG_SORTS,
    MIXED,
    MIXED_SORTS,
    RELATIONS_SORTS,
    SHORT,
    STEPS_SORTS,
    Conversations,
)
from service.demo.slots import MARKER, OTHERS, PLACES
from service.demo.tokens import Codec
from service.scenes.conversations.wording import PLURALS
from service.scenes.scene import BACKGROUNDS, COLOURS, KINDS, SIZES, TEXTS

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
"""The sixth round: everything again, with slots as a projection that is not quite right would give them."""

LM_LONG_SCHEDULE = Schedule(steps=450, batch=16, learning_rate=1e-3, weight_decay=0.02, warmup=30)
"""The seventh round: conversations of many turns, and JSON, both twice as long as what came before."""

LM_MIXED_SCHEDULE = Schedule(steps=500, batch=16, learning_rate=1e-3, weight_decay=0.02, warmup=30)
"""The last round: long and short in turn, with many questions of yes or no."""

_TARGET_STEP = 256
_FACT_WEIGHT = 4.0
_DRILLS = 0.12
_DISTORTION = 0.8
_SLANT = 0.2
# A projection learnt from captions was off by half of a word sum's length, the same in all slots.
_LARGE_SLANT = 0.6


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

    weights: Tensor

    def __init__(self, codec: Codec, seed: int = 0) -> None:
        super().__init__()
        vocabulary = codec.tokenizer.get_vocab_size()
        self.llama = LlamaForCausalLM(llama_config(vocabulary))
        ready_for_recall(self.llama, *_word_forms(codec), MARKER)
        self.width = self.llama.config.hidden_size
        self.noise = torch.Generator().manual_seed(seed)
        self.slant, self.distortion = _SLANT, 0.0
        weights = torch.ones(vocabulary)
        weights[fact_tokens(codec)] = _FACT_WEIGHT
        self.register_buffer("weights", weights, persistent=False)

    def get_extra_state(self) -> Tensor:
        """Where the noise is, kept with the weights: a resumed run goes on in it."""
        return self.noise.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Take up the noise where :meth:`get_extra_state` left it."""
        self.noise.set_state(state)

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """``[sequences, length, 192]``: tokens, and noisy word sums where the slots are."""
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
        level = self.slant * torch.rand(sequences, 1, generator=self.noise)
        slant = level * torch.randn(sequences, self.width, generator=self.noise)
        return slant[batch["places"] // length]

    def _distortion(self, sums: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """What a wrong linear map adds, another one for each sequence.

        Projections that are learnt from captions are as far from the word sums as these sums are long.
        """
        sequences, length = batch["ids"].shape
        level = self.distortion * torch.rand(sequences, 1, 1, generator=self.noise)
        wrong = torch.randn(sequences, self.width, self.width, generator=self.noise)
        wrong = level / self.width**0.5 * wrong
        return (sums[:, None] @ wrong[batch["places"] // length])[:, 0]

    def loss(self, batch: list[dict[str, Tensor]]) -> tuple[Tensor, dict[str, float]]:
        """Next-token loss on the answers only, of a batch in parts of sequences of about one length."""
        answers = [self._answers(part) for part in batch]
        states, wanted = (torch.cat(parts) for parts in zip(*answers, strict=True))
        padding = -len(wanted) % _TARGET_STEP
        logits = self.llama.lm_head(functional.pad(states, (0, 0, 0, padding)))
        logits = logits[: len(wanted)].float()
        loss = functional.cross_entropy(logits, wanted, weight=self.weights)
        right = (logits.argmax(-1) == wanted).float()
        facts = self.weights[wanted] > 1
        return loss, {"tokens right": float(right.mean()), "facts": float(right[facts].mean())}

    def _answers(self, part: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Where answers are learnt: last states ``[tokens, 192]``, and the ids to predict from them."""
        hidden = self.llama.model(inputs_embeds=self.embed(part), use_cache=False)
        labels = part["labels"][:, 1:].flatten()
        places = (labels != IGNORED).nonzero().flatten()
        return hidden.last_hidden_state[:, :-1].flatten(0, 1)[places], labels[places]


def fact_tokens(codec: Codec) -> list[int]:
    """Ids of the words that make an answer true or false, with and without ``▁``."""
    words = {*OTHERS, "no", "nothing", "Nothing", "above", "below", "first", "second", "both"}
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
    long: Schedule = LM_LONG_SCHEDULE
    mixed: Schedule = LM_MIXED_SCHEDULE


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
        ("hard", rounds.hard, HARD_SORTS, (SHORT,), 0.0, _SLANT),
        ("steps", rounds.steps, STEPS_SORTS, (SHORT,), 0.0, _SLANT),
        ("relations", rounds.relations, RELATIONS_SORTS, (SHORT,), 0.0, _SLANT),
        ("compare", rounds.compare, COMPARE_SORTS, (SHORT,), 0.0, _SLANT),
        ("distorted", rounds.distorted, DISTORTED_SORTS, (SHORT,), _DISTORTION, _SLANT),
        ("long", rounds.long, LONG_SORTS, (LONG,), _DISTORTION, _SLANT),
        ("mixed", rounds.mixed, MIXED_SORTS, MIXED, _DISTORTION, _LARGE_SLANT),
    )
    for name, schedule, sorts, lengths, distortion, slant in later:
        number = schedule.steps * schedule.batch
        samples = Conversations(tokenizer, f"text-{name}", number, sorts=sorts, lengths=lengths)
        file = checkpoint.with_stem(f"{checkpoint.stem}-{name}")
        student.distortion, student.slant = distortion, slant
        fit(student, samples, samples.collate, student.loss, schedule, file)
    return student.llama
