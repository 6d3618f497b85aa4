"""Old tokenizers made fast: the same ids as the slow one, segment by segment."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from service.checkpoints.language_model.tokenizer import read_tokenizer
from service.errors import CheckpointError
from service.families import FAMILIES, IMAGE_TOKEN
from service.model_folder.layout import ModelFolder
from service.prompt.tokenizer import write_tokenizer
from tests.checkpoints.published import VOCABULARY, Published, write_sentencepiece

SPECIAL = {"<unk>": 0, "<s>": 1, "</s>": 2}
_TEXT = (
    "the cat sits on a table ### Human: Assistant: [INST] [/INST] <Img> </Img> <s> </s> <unk> é à "
    "漢字 🙂 {<10><20><30><40>} [vqa] [refer] 1234 \u200b \ufb01 \uff21 $$ <0x0A> ▁ ▁▁ == ---"
)
WORDS = _TEXT.split(" ")


def original_ids(model: Path, prompt: str, image_id: int) -> list[int]:
    """The original's: segments between images by themselves, ``<s>`` before the first only.

    Within a segment the slow tokenizer splits at special tokens, and SentencePiece puts its dummy
    prefix before each piece that is left.
    """
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    ids = [SPECIAL["<s>"]]
    for number, segment in enumerate(prompt.split(IMAGE_TOKEN)):
        if number:
            ids.append(image_id)
        for part in re.split("(<unk>|<s>|</s>)", segment):
            if part:
                ids += [SPECIAL[part]] if part in SPECIAL else processor.encode(part)
    return ids


def _random_text(generator: random.Random) -> str:
    def piece() -> str:
        return generator.choice(
            [
                generator.choice(WORDS),
                generator.choice(WORDS) + " ",
                generator.choice(" =-ae\n\t") * generator.randint(1, 20),
                IMAGE_TOKEN,
            ]
        )

    return "".join(piece() for _ in range(generator.randint(1, 25)))


@pytest.fixture(scope="module")
def model(published: Callable[[str], Published]) -> Path:
    return published("minigpt4-vicuna").language_model / "tokenizer.model"


@pytest.fixture(scope="module")
def tokenizer(imported: Callable[[str], Path]) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(ModelFolder.open(imported("minigpt4-vicuna")).tokenizer)


@pytest.mark.parametrize("seed", range(4))
def test_ids_are_the_slow_tokenizers(
    seed: int, model: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    generator = random.Random(seed)
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    assert image_id == VOCABULARY - 1, "added after the 699 pieces"
    for _ in range(400):
        text = _random_text(generator)
        assert tokenizer(text).input_ids == original_ids(model, text, image_id), text


def test_the_odd_places(tokenizer: PreTrainedTokenizerBase) -> None:
    """After an image the text starts with a space of its own; prompts end in a lone one."""

    def tokens(text: str) -> list[str]:
        ids: list[int] = tokenizer(text).input_ids
        return list(tokenizer.convert_ids_to_tokens(ids))

    image = tokens(f"<Img>{IMAGE_TOKEN}</Img>")
    assert image[image.index(IMAGE_TOKEN) + 1].startswith("▁")
    assert tokens("Assistant: ")[-1] == "▁"
    assert tokens("[/INST] ")[-1] == "▁"
    assert tokens(f"{IMAGE_TOKEN} a")[2:4] == ["▁▁", "a"]


def test_text_decodes_to_itself(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "The cat, 漢字 🙂 and {<10><20><30><40>}\n\n  spaces"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_a_fast_tokenizer_file_is_as_good(tmp_path: Path, model: Path) -> None:
    """Where ``tokenizer.json`` is all there is; also with merges written as one string each."""
    slow, _, _ = read_tokenizer(model.parent, VOCABULARY)
    slow.save(str(tmp_path / "tokenizer.json"))
    fast, files, _ = read_tokenizer(tmp_path, VOCABULARY)
    assert files == [tmp_path / "tokenizer.json"]
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    old, _, _ = read_tokenizer(tmp_path, VOCABULARY)
    assert slow.to_str() == fast.to_str() == old.to_str()


@pytest.mark.parametrize(
    ("added", "vocabulary", "kept"),
    [
        ({"[PAD]": VOCABULARY - 1}, VOCABULARY, True),
        ({"[PAD]": VOCABULARY - 1}, VOCABULARY - 1, False),
        ({"[PAD]": VOCABULARY + 5}, VOCABULARY + 10, False),
    ],
)
def test_added_tokens_are_kept_where_the_model_has_rows_for_them(
    added: dict[str, int], vocabulary: int, kept: bool, tmp_path: Path
) -> None:
    write_sentencepiece(tmp_path / "tokenizer.model")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<s>": 1, **added}))
    tokenizer, files, notes = read_tokenizer(tmp_path, vocabulary)
    write_tokenizer(tokenizer, FAMILIES["minigpt4-vicuna"], tmp_path / "new")
    assert bool(notes) != kept
    assert (tmp_path / "added_tokens.json" in files) == kept
    padding = tokenizer.token_to_id("[PAD]")
    assert padding == (VOCABULARY - 1 if kept else None)
    assert tokenizer.token_to_id(IMAGE_TOKEN) == VOCABULARY - 1 + kept
    spaced = tokenizer.encode("a [PAD] a", add_special_tokens=False).ids
    alone = tokenizer.encode("a", add_special_tokens=False).ids
    # The slow tokenizer strips the spaces around it.
    assert (spaced == [*alone, padding, *alone]) == kept


def test_a_tokenizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g", "abc def"] * 50),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=20,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(CheckpointError, match="not a Llama tokenizer"):
        read_tokenizer(tmp_path, 32000)
    (tmp_path / "tokenizer.model").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="SentencePiece"):
        read_tokenizer(tmp_path, 32000)
