"""The fast tokenizer made from the files of 2023 gives the ids of the slow one."""

import json
import random
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
from tests.checkpoints.importing import collect_warnings, refuse_import, replace_arguments
from tests.published.files import PublishedFiles
from tests.published.llama_folder import (
    make_llama_config,
    write_llama,
    write_sentencepiece,
    write_shards,
)
from tests.published.original_tokens import encode_prompt
from tests.published.sizes import VOCABULARY

_TEXT = (
    "the cat sits on a table ### Human: Assistant: [INST] [/INST] <Img> </Img> <s> </s> <unk> é à "
    "漢字 🙂 {<10><20><30><40>} [vqa] [refer] 1234 \u200b \ufb01 \uff21 $$ <0x0A> ▁ ▁▁ == ---"
)
WORDS = _TEXT.split(" ")


def _draw_text(generator: random.Random) -> str:
    def draw_piece() -> str:
        return generator.choice(
            [
                generator.choice(WORDS),
                generator.choice(WORDS) + " ",
                generator.choice(" =-ae\n\t") * generator.randint(1, 20),
                IMAGE_TOKEN,
            ]
        )

    return "".join(draw_piece() for _ in range(generator.randint(1, 25)))


@pytest.fixture(scope="module")
def model(published: Callable[[str], PublishedFiles]) -> Path:
    return published("minigpt4-vicuna").language_model / "tokenizer.model"


@pytest.fixture(scope="module")
def tokenizer(imported: Callable[[str], Path]) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(ModelFolder.open(imported("minigpt4-vicuna")).tokenizer)


@pytest.mark.parametrize("seed", range(4))
def test_ids_are_those_of_the_slow_tokenizer(
    seed: int, model: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    generator = random.Random(seed)
    image_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    assert image_id == VOCABULARY - 1, "added after the 699 pieces"
    for _ in range(400):
        text = _draw_text(generator)
        assert tokenizer(text).input_ids == encode_prompt(model, text, image_id), text


def test_spaces_at_the_edges_of_a_segment_are_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    """Llama adds a space to text after an image; a prompt can end in a single space."""

    def tokens(text: str) -> list[str]:
        ids: list[int] = tokenizer(text).input_ids
        return list(tokenizer.convert_ids_to_tokens(ids))

    image = tokens(f"<Img>{IMAGE_TOKEN}</Img>")
    assert image[image.index(IMAGE_TOKEN) + 1].startswith("▁")
    assert tokens("Assistant: ")[-1] == "▁"
    assert tokens("[/INST] ")[-1] == "▁"
    assert tokens(f"{IMAGE_TOKEN} a")[2:4] == ["▁▁", "a"]


def test_decoding_returns_the_text(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "The cat, 漢字 🙂 and {<10><20><30><40>}\n\n  spaces"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_tokenizer_json_alone_gives_the_same_tokenizer(tmp_path: Path, model: Path) -> None:
    """Older files hold each pair of merges as one string."""
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
    ("added", "vocabulary", "is_added"),
    [
        ({"[PAD]": VOCABULARY - 1}, VOCABULARY, True),
        ({"[PAD]": VOCABULARY - 1}, VOCABULARY - 1, False),
        ({"[PAD]": VOCABULARY + 5}, VOCABULARY + 10, False),
    ],
)
def test_an_added_token_needs_a_row_in_the_embedding_table(
    added: dict[str, int], vocabulary: int, is_added: bool, tmp_path: Path
) -> None:
    write_sentencepiece(tmp_path / "tokenizer.model")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<s>": 1, **added}))
    tokenizer, files, notes = read_tokenizer(tmp_path, vocabulary)
    write_tokenizer(tokenizer, FAMILIES["minigpt4-vicuna"], tmp_path / "new")
    assert bool(notes) != is_added
    assert (tmp_path / "added_tokens.json" in files) == is_added
    padding = tokenizer.token_to_id("[PAD]")
    assert padding == (VOCABULARY - 1 if is_added else None)
    assert tokenizer.token_to_id(IMAGE_TOKEN) == VOCABULARY - 1 + is_added
    spaced = tokenizer.encode("a [PAD] a", add_special_tokens=False).ids
    alone = tokenizer.encode("a", add_special_tokens=False).ids
    # The slow tokenizer strips the spaces around an added token.
    assert (spaced == [*alone, padding, *alone]) == is_added


def test_a_tokenizer_unlike_llamas_is_refused(tmp_path: Path) -> None:
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


def test_a_language_model_without_a_tokenizer_needs_another_folder(
    tmp_path: Path, published: Callable[[str], PublishedFiles], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, files = tmp_path / "llm", published("minigpt4-vicuna")
    write_llama(folder)
    (folder / "tokenizer.model").unlink()
    arguments = replace_arguments(files.arguments, llm=folder)
    assert "Copy Llama's tokenizer.model" in refuse_import(tmp_path / "model", arguments)
    arguments += ["--tokenizer", str(files.language_model)]
    assert not collect_warnings(capsys, tmp_path / "model", arguments)


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(
    tmp_path: Path, published: Callable[[str], PublishedFiles]
) -> None:
    folder = tmp_path / "llm"
    tensors = write_llama(folder)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = tensors[name][:600].clone()
    write_shards(folder, tensors, binary=True)
    config = make_llama_config(llama2=False)
    config.vocab_size = 600
    config.save_pretrained(folder)
    arguments = replace_arguments(published("minigpt4-vicuna").arguments, llm=folder)
    assert "only 600 embeddings" in refuse_import(tmp_path / "model", arguments)
