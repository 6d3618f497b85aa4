"""One training sequence: token ids, the tokens to learn, and the slots of its images."""

import random
from dataclasses import dataclass, field

from service.demo.text_side.slots import list_slot_words, perturb_words
from service.scenes.scene import Scene
from service.training.sequences import IGNORED

_EXACT_SHARE = 0.3
"""Share of images whose slots have exactly their words."""


@dataclass
class TrainingSequence:
    """Tokens of one or more conversations.

    Attributes:
        ids: Token ids; 0 in the place of a slot.
        labels: The token's own id if it is to be predicted, else -100.
        slots: For each slot its place in the sequence and its weighted words.
    """

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    slots: list[tuple[int, list[tuple[str, float]]]] = field(default_factory=list)

    def append(self, ids: list[int], learn: bool = False) -> None:
        """Append tokens; ``learn`` makes them targets."""
        self.ids += ids
        self.labels += ids if learn else [IGNORED] * len(ids)

    def append_image(self, scene: Scene, rng: random.Random) -> None:
        """Append an image's slots."""
        is_exact = rng.random() < _EXACT_SHARE
        for words in list_slot_words(scene):
            weighted = [(word, 1.0) for word in words] if is_exact else perturb_words(words, rng)
            self.slots.append((len(self.ids), weighted))
            self.append([0])
