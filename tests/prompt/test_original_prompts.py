"""Prompts of imported model folders are the original's, as text and as token ids."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from service.model_folder.layout import ModelFolder
from tests.published.files import FAMILIES, PublishedFiles
from tests.published.original_chat import (
    COMPARE,
    CONVERSATIONS,
    FORMATS,
    IMAGE_TOKEN,
    TWO_IMAGES,
    write_prompt,
    write_prompt_of_one_turn,
)
from tests.published.original_tokens import encode_prompt


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_is_the_originals(
    family: str,
    name: str,
    published: Callable[[str], PublishedFiles],
    imported: Callable[[str], Path],
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(ModelFolder.open(imported(family)).tokenizer)
    messages = CONVERSATIONS[name]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    expected = write_prompt(FORMATS[family], messages)
    assert rendered == f"<s>{expected}"

    model = published(family).language_model / "tokenizer.model"
    image_id = tokenizer.get_vocab()[IMAGE_TOKEN]
    ids = tokenizer(rendered, add_special_tokens=False).input_ids
    assert ids == encode_prompt(model, expected, image_id)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_images_in_one_message_stay_in_one_turn(
    family: str, imported: Callable[[str], Path]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(ModelFolder.open(imported(family)).tokenizer)
    rendered = tokenizer.apply_chat_template(TWO_IMAGES, tokenize=False, add_generation_prompt=True)
    assert rendered == "<s>" + write_prompt_of_one_turn(FORMATS[family], 2, COMPARE)
