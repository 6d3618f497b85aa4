"""The training sequences of a round, and their batches."""

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import Dataset

from service.demo.text_side.codec import Codec
from service.demo.text_side.dialogues import encode_comparison, encode_conversation, encode_drill
from service.demo.text_side.lengths import SHORT, Lengths
from service.demo.text_side.question_mixes import (
    FIRST_CYCLE,
    FIRST_KINDS,
    TWO_IMAGES,
    Cycle,
)
from service.demo.text_side.sequence import TrainingSequence
from service.demo.text_side.slots import MARKER
from service.scenes.scene import rng_for
from service.training.sequences import IGNORED

# Few different shapes: a CPU's bfloat16 matrix kernels are compiled for each shape.
_LENGTH_STEP = 16
_BATCH = 16
_PART = 4
_SLOT_WORDS = 12
"""Most words of a slot: its marker, five words, and traces of others."""


class DialogueDataSet(Dataset[TrainingSequence]):
    """Sequence ``i`` of a split is made from seed ``i``.

    Args:
        split: Name of the split, which seeds it.
        length: Number of sequences.
        drills: So many sequences at the start ask only what one look at one slot answers.
        cycle: What the batches ask, in turn.
        lengths: How long the sequences of the batches are, in turn.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        split: str,
        length: int,
        drills: int = 0,
        cycle: Cycle = FIRST_CYCLE,
        lengths: tuple[Lengths, ...] = (SHORT,),
    ) -> None:
        self.codec, self.split, self.length = Codec(tokenizer), split, length
        self.drills, self.cycle, self.lengths = drills, cycle, lengths

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> TrainingSequence:
        rng = rng_for(self.split, index)
        # All sequences of a batch are of one kind and one length, because drills are short.
        batch = index // _BATCH
        lengths = self.lengths[batch % len(self.lengths)]
        if index < self.drills:
            return encode_drill(self.codec, rng, FIRST_KINDS, lengths)
        kinds = self.cycle[batch % len(self.cycle)]
        if kinds == TWO_IMAGES:
            return encode_comparison(self.codec, rng, lengths)
        if kinds:
            return encode_drill(self.codec, rng, kinds, lengths)
        return encode_conversation(self.codec, rng, lengths)

    def collate(self, sequences: list[TrainingSequence]) -> list[dict[str, Tensor]]:
        """Make a batch: parts of four sequences of about one length, the shortest ones first.

        As one part, a quarter of a batch would be padding. A part has ``ids`` and ``labels
        [sequences, length]``, and for its slots ``places [slots]`` among all its tokens, ``words``
        and ``weights [slots, 12]``. The few sequences that are too long are cut.
        """
        by_length = sorted(sequences, key=lambda sequence: len(sequence.ids))
        return [
            self._pad(by_length[first : first + _PART]) for first in range(0, len(sequences), _PART)
        ]

    def _pad(self, sequences: list[TrainingSequence]) -> dict[str, Tensor]:
        longest = max(len(sequence.ids) for sequence in sequences)
        most = max(lengths.most for lengths in self.lengths)
        length = min(longest + -longest % _LENGTH_STEP, most)
        ids = torch.zeros(len(sequences), length, dtype=torch.long)
        labels = torch.full((len(sequences), length), IGNORED)
        places, words, weights = [], [], []
        for row, sequence in enumerate(sequences):
            end = min(len(sequence.ids), length)
            ids[row, :end] = torch.tensor(sequence.ids[:end])
            labels[row, :end] = torch.tensor(sequence.labels[:end])
            for place, weighted in sequence.slots:
                if place >= length:
                    continue
                places.append(row * length + place)
                padding = _SLOT_WORDS - 1 - len(weighted)
                ids_of_words = [self.codec.encode_word(word) for word, _ in weighted]
                words.append([MARKER, *ids_of_words] + [0] * padding)
                weights.append([1.0, *(weight for _, weight in weighted)] + [0.0] * padding)
        return {
            "ids": ids,
            "labels": labels,
            "places": torch.tensor(places, dtype=torch.long),
            "words": torch.tensor(words, dtype=torch.long).reshape(-1, _SLOT_WORDS),
            "weights": torch.tensor(weights).reshape(-1, _SLOT_WORDS),
        }
