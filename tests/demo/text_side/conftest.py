"""The tokenizer of the text side."""

import pytest

from service.demo.text_side.codec import Codec
from service.demo.text_side.tokenizer import learn_tokenizer


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec(learn_tokenizer())
