"""The demo model's tokenizer, which is learnt from generated conversations."""

import json
import re
from collections import Counter
from collections.abc import Iterator

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from service.prompt.tokenizer import BOS, BYTE_TOKENS, EOS, UNK, build_llama_tokenizer
from service.scenes.conversations.asking import ask
from service.scenes.conversations.small_talk import make_small_talk
from service.scenes.conversations.two_images import compare
from service.scenes.conversations.wording import list_vocabulary
from service.scenes.scene import COLUMNS, WORDS, draw_scene, rng_for

SYSTEM = (
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I "
    "provide it to you. Please answer my questions."
)
"""The original demo's system text, which the family's chat template writes."""

_PIECES = 1100
"""Pieces that are learnt within words."""

_WORDS = 620
"""Most frequent words that get a piece with a space before them as well."""


def learn_tokenizer() -> Tokenizer:
    """Learn a Llama tokenizer from generated conversations: whole words, with and without ``▁``.

    Pieces are learnt within words only, so that no piece joins a word to its punctuation or to
    ``###``.
    """
    words = Counter(word for text in _generate_corpus() for word in re.findall(r"[A-Za-z]+", text))
    learner = Tokenizer(models.BPE(unk_token=UNK))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    letters = [chr(code) for code in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES, initial_alphabet=letters, show_progress=False, min_frequency=2
    )
    lines = (" ".join([word] * count) for word, count in sorted(words.items()))
    learner.train_from_iterator(lines, trainer)
    merges = [("#", "#"), ("##", "#"), ("▁", "###")]
    merges += _read_merges(learner)
    whole = [word for word, _ in words.most_common(_WORDS) if len(learner.encode(word).ids) == 1]
    merges += [("▁", word) for word in [*whole, '"', "(", "{", "["]]
    # A place is one piece, so that one look finds it: "▁top▁left" is neither "▁top" nor "▁left".
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


def _read_merges(learner: Tokenizer) -> list[tuple[str, str]]:
    return [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]


def _generate_corpus() -> Iterator[str]:
    for index in range(3000):
        rng = rng_for("tokenizer", index)
        scene = draw_scene(rng)
        turns = [ask(scene, rng), ask(scene, rng), make_small_talk(rng), compare(scene, scene, rng)]
        for turn in turns:
            yield turn.question
            yield turn.question.lower()
            yield turn.answer
    # Words that the answers depend on are repeated until they are whole pieces.
    yield from [" ".join(list_vocabulary())] * 200
    yield from [
        " ".join([*WORDS, *COLUMNS, "empty", "nothing", "written", "background", "objects"])
    ] * 200
    yield from [SYSTEM + " ###Human: ###Assistant: Please, image picture"] * 200
