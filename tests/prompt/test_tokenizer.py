"""The tokenizer that this service builds, and the chat template that it writes beside it."""

from importlib.resources import files

from service.families import FAMILIES
from service.prompt.tokenizer import EOS, UNK, read_chat_template, train_tokenizer

TEXTS = ["the cat sits on the table", "the dog sits on the chair"]


def test_training_is_deterministic_and_reads_any_text() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    assert tokenizer.to_str() == train_tokenizer(TEXTS, 300).to_str()
    assert [tokenizer.token_to_id(token) for token in (UNK, "<s>", EOS, "<0x00>")] == [0, 1, 2, 3]
    text = "the cat, 漢字 and  two spaces"
    encoding = tokenizer.encode(text)
    assert encoding.tokens[0] == "<s>"
    assert UNK not in encoding.tokens, "characters without a piece become bytes"
    assert tokenizer.decode(encoding.ids) == text


def test_the_demo_model_has_the_current_chat_template() -> None:
    demo = files("service") / "models" / "demo" / "tokenizer" / "chat_template.jinja"
    assert demo.read_text("utf-8") == read_chat_template(FAMILIES["minigpt4-vicuna"])
