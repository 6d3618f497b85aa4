"""The conversation formats: what the original writes, and what a client's text cannot do."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from service.families import FAMILIES, IMAGE_TOKEN
from service.model_folder.layout import ModelFolder
from tests.end_to_end.reference import SYSTEM

IMAGE = {"type": "image"}
SHOWN = "<Img><ImageHere></Img>"
Render = Callable[..., str]


@pytest.fixture(scope="module")
def tokenizers(
    tiny_model: Callable[[str], ModelFolder],
) -> Callable[[str], PreTrainedTokenizerBase]:
    return lambda family: AutoTokenizer.from_pretrained(tiny_model(family).tokenizer)


@pytest.fixture(scope="module")
def vicuna(tokenizers: Callable[[str], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
    return tokenizers("minigpt4-vicuna")


def render(tokenizer: PreTrainedTokenizerBase, *messages: dict[str, Any], **options: object) -> str:
    options.setdefault("add_generation_prompt", True)
    return tokenizer.apply_chat_template(list(messages), tokenize=False, **options)


def user(*content: object) -> dict[str, Any]:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    return {"role": "user", "content": parts}


def test_vicuna(vicuna: PreTrainedTokenizerBase) -> None:
    assistant = {"role": "assistant", "content": " A cat. "}
    prompt = render(vicuna, user(IMAGE, "What is this?"), assistant, user("Sure?"))
    assert prompt == (
        f"<s>{SYSTEM}###Human: {SHOWN} What is this?###Assistant: A cat.###"
        "Human: Sure?###Assistant: "
    )


def test_llama2(tokenizers: Callable[[str], PreTrainedTokenizerBase]) -> None:
    assistant = {"role": "assistant", "content": "A cat."}
    prompt = render(tokenizers("minigpt4-llama2"), user(IMAGE, "What?"), assistant, user("Sure?"))
    assert prompt == (f"<s>{SYSTEM}<s>[INST] {SHOWN} What? [/INST] A cat.<s>[INST] Sure? [/INST] ")


def test_minigpt_v2(tokenizers: Callable[[str], PreTrainedTokenizerBase]) -> None:
    text = "[refer] give me the location of {<10><20><30><40>}"
    assistant = {"role": "assistant", "content": "{<1><2><3><4>}"}
    prompt = render(tokenizers("minigpt-v2"), user(IMAGE, text), assistant, user("[vqa] why?"))
    assert prompt == (
        f"<s><s>[INST] {SHOWN} {text} [/INST]{{<1><2><3><4>}}<s>[INST] [vqa] why? [/INST]"
    )


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ([IMAGE, "a"], f"{SHOWN} a"),
        (["a", IMAGE], f"{SHOWN} a"),
        ([IMAGE, IMAGE, "a"], f"{SHOWN} {SHOWN} a"),
        (["a", "b", IMAGE], f"{SHOWN} a\nb"),
        (["first", IMAGE, "second", IMAGE], f"first {SHOWN} second {SHOWN}"),
        ([IMAGE], SHOWN),
        ([], ""),
    ],
)
def test_the_place_of_images_in_a_turn(
    vicuna: PreTrainedTokenizerBase, content: list[object], shown: str
) -> None:
    assert f"###Human: {shown}###Assistant: " in render(vicuna, user(*content))


def test_two_uploads_before_a_question_are_two_messages(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, user(IMAGE), user(IMAGE, "Compare."))
    assert f"###Human: {SHOWN}###Human: {SHOWN} Compare.###Assistant: " in prompt


def test_a_system_message_replaces_the_default(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, {"role": "system", "content": "Be brief."}, user("Hi."))
    assert prompt == "<s>Be brief.###Human: Hi.###Assistant: "


def test_an_answer_can_be_continued(vicuna: PreTrainedTokenizerBase) -> None:
    started = {"role": "assistant", "content": "It is"}
    prompt = render(vicuna, user("What?"), started, add_generation_prompt=False)
    assert prompt.endswith("###Assistant: It is")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": [IMAGE]},
        {"role": "assistant", "content": [IMAGE]},
        {"role": "tool", "content": "x"},
        {"role": "user", "content": [{"type": "video"}]},
    ],
)
def test_what_has_no_place_is_refused(
    vicuna: PreTrainedTokenizerBase, message: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match=r"image|role is|text and images"):
        render(vicuna, message)


PIECES = (
    "#|##|###|####| |\n|a|<ImageHere>|<Image|Here>|<s>|</s>|<unk>|<|s>|Human: |Assistant: |[INST]"
)
ESCAPES = st.lists(
    st.sampled_from([*PIECES.split("|"), "[/INST]", "<Img>", "</Img>"]), max_size=14
).map("".join)


@pytest.mark.parametrize("family", FAMILIES)
@given(text=ESCAPES, role=st.sampled_from(["user", "assistant", "system"]))
def test_text_cannot_leave_its_place(
    family: str,
    tokenizers: Callable[[str], PreTrainedTokenizerBase],
    text: str,
    role: str,
) -> None:
    """Whatever is written, the prompt has as many separators and special tokens as without it."""
    tokenizer = tokenizers(family)

    def structure(written: str) -> list[object]:
        messages = [user(IMAGE, "Hi."), {"role": role, "content": written}, user("Bye.", IMAGE)]
        prompt = render(tokenizer, *messages)
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        marks = ["###"] if family == "minigpt4-vicuna" else ["[INST]", "[/INST]"]
        special = [*map(tokenizer.convert_tokens_to_ids, [IMAGE_TOKEN, "<s>", "</s>", "<unk>"])]
        return [*(prompt.count(mark) for mark in marks), *(ids.count(token) for token in special)]

    assert structure(text) == structure("x")


def test_markdown_headings_keep_their_meaning(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, user("# One\n## Two\n### Three\n###### Six"))
    assert "# One\n## Two\n## Three\n## Six" in prompt


def test_each_piece_is_tokenized_as_if_it_were_alone(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, user("one ", IMAGE, " two", IMAGE, "three"))
    pieces = prompt.removeprefix("<s>").split(IMAGE_TOKEN)
    image = vicuna.convert_tokens_to_ids(IMAGE_TOKEN)
    expected = [vicuna.bos_token_id]
    for index, piece in enumerate(pieces):
        expected += ([image] if index else []) + vicuna.encode(piece, add_special_tokens=False)
    assert vicuna(prompt, add_special_tokens=False).input_ids == expected
