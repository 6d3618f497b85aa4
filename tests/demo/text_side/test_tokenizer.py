"""The tokenizer that is learnt from generated conversations."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from service.demo.text_side.codec import Codec
from service.demo.text_side.slots import PLACES
from service.demo.text_side.tokenizer import SYSTEM, learn_tokenizer
from service.families import FAMILIES, IMAGE_TOKEN
from service.prompt.tokenizer import read_chat_template, write_tokenizer
from service.scenes.conversations.wording import describe_place
from service.scenes.scene import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    KINDS,
    NUMBERS,
    SIZES,
    TEXTS,
)


def test_the_tokenizer_is_reproducible_and_has_whole_words_and_marks(codec: Codec) -> None:
    assert learn_tokenizer().to_str() == codec.tokenizer.to_str()
    for word in (*KINDS, *COLOURS, *SIZES, *BACKGROUNDS, *NUMBERS):
        assert len(codec.encode_segment(word)) == 1, word
        assert len(codec.encode_continuation(word)) == 1, word
    pieces = codec.tokenizer.encode("a star.###Human: ###", add_special_tokens=False).tokens
    assert pieces[-6:] == [".", "###", "Human", ":", "▁###"] or pieces[-1] == "▁###"
    assert "###" in pieces
    assert len({codec.encode_word(text) for text in TEXTS}) == len(TEXTS)


def test_every_place_is_one_piece(codec: Codec) -> None:
    ids = {codec.encode_word(place) for place in PLACES}
    assert len(ids) == CELLS
    for cell, place in enumerate(PLACES):
        assert codec.encode_word(place) in codec.encode_segment(describe_place(cell))
        assert len(ids & set(codec.encode_segment(f"It is {describe_place(cell)}."))) == 1


def test_sequences_equal_those_of_the_chat_template_and_tokenizer(
    codec: Codec, tmp_path: Path
) -> None:
    from transformers import PreTrainedTokenizerFast

    whole = Tokenizer.from_str(codec.tokenizer.to_str())
    write_tokenizer(whole, FAMILIES["minigpt4-vicuna"], tmp_path)
    rendered = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), bos_token="<s>", eos_token="</s>"
    )
    rendered.chat_template = read_chat_template(FAMILIES["minigpt4-vicuna"])
    messages: Any = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is there?"}]}
    ]
    prompt = rendered.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    expected = rendered(prompt, add_special_tokens=False)["input_ids"]
    image = rendered.convert_tokens_to_ids(IMAGE_TOKEN)
    ours = [
        codec.start,
        *codec.encode_segment(f"{SYSTEM}###Human: <Img>"),
        image,
        *codec.encode_segment("</Img> What is there?###Assistant: "),
    ]
    assert ours == expected
