"""The demo's tokenizer, learnt from generated conversations, and texts to ids as the text side needs them."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from service.prompt.tokenizer import BOS, BYTE_TOKENS, EOS, UNK, build_llama_tokenizer
from service.scenes.conversations.asking import ask
from service.scenes.conversations.small_talk import small_talk
from service.scenes.conversations.two_images import compare
from service.scenes.conversations.wording import vocabulary_words
from service.scenes.scene import COLUMNS, WORDS, draw_scene, rng_for

SYSTEM = (
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I "
    "provide it to you. Please answer my questions."
)
"""The original demo's system text, which the family's chat template writes."""

_PIECES = 1100
_WORDS = 620


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
    return build_llama_tokenizer({piece: number for number, piece in enumerate(unique)}, merges)


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
