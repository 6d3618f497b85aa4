"""The conversation formats: the original's text, and how a client's text is contained."""

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
IMAGE_TEXT = "<Img><ImageHere></Img>"


@pytest.fixture(scope="module")
def tokenizers(
    tiny_model: Callable[[str], ModelFolder],
) -> Callable[[str], PreTrainedTokenizerBase]:
    return lambda family: AutoTokenizer.from_pretrained(tiny_model(family).tokenizer)


@pytest.fixture(scope="module")
def vicuna(tokenizers: Callable[[str], PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
    return tokenizers("minigpt4-vicuna")


def render(tokenizer: PreTrainedTokenizerBase, *messages: dict[str, Any], **options: Any) -> str:
    options.setdefault("add_generation_prompt", True)
    return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **options))


def user(*content: object) -> dict[str, Any]:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    return {"role": "user", "content": parts}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def test_vicuna(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, user(IMAGE, "What is this?"), assistant(" A cat. "), user("Sure?"))
    assert prompt == (
        f"<s>{SYSTEM}###Human: {IMAGE_TEXT} What is this?###Assistant: A cat.###"
        "Human: Sure?###Assistant: "
    )


def test_llama2(tokenizers: Callable[[str], PreTrainedTokenizerBase]) -> None:
    tokenizer = tokenizers("minigpt4-llama2")
    prompt = render(tokenizer, user(IMAGE, "What?"), assistant("A cat."), user("Sure?"))
    assert prompt == (
        f"<s>{SYSTEM}<s>[INST] {IMAGE_TEXT} What? [/INST] A cat.<s>[INST] Sure? [/INST] "
    )


def test_minigpt_v2(tokenizers: Callable[[str], PreTrainedTokenizerBase]) -> None:
    text, box = "[refer] give me the location of {<10><20><30><40>}", "{<1><2><3><4>}"
    tokenizer = tokenizers("minigpt-v2")
    prompt = render(tokenizer, user(IMAGE, text), assistant(box), user("[vqa] why?"))
    assert prompt == (f"<s><s>[INST] {IMAGE_TEXT} {text} [/INST]{box}<s>[INST] [vqa] why? [/INST]")


@pytest.mark.parametrize(
    ("content", "turn"),
    [
        ([IMAGE, "a"], f"{IMAGE_TEXT} a"),
        (["a", IMAGE], f"{IMAGE_TEXT} a"),
        ([IMAGE, IMAGE, "a"], f"{IMAGE_TEXT} {IMAGE_TEXT} a"),
        (["a", "b", IMAGE], f"{IMAGE_TEXT} a\nb"),
        (["first", IMAGE, "second", IMAGE], f"first {IMAGE_TEXT} second {IMAGE_TEXT}"),
        ([IMAGE], IMAGE_TEXT),
        ([], ""),
    ],
)
def test_images_after_all_text_move_before_it(
    vicuna: PreTrainedTokenizerBase, content: list[object], turn: str
) -> None:
    assert f"###Human: {turn}###Assistant: " in render(vicuna, user(*content))


def test_two_image_messages_in_a_row_stay_two_turns(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, user(IMAGE), user(IMAGE, "Compare."))
    assert f"###Human: {IMAGE_TEXT}###Human: {IMAGE_TEXT} Compare.###Assistant: " in prompt


def test_a_system_message_replaces_the_default(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, {"role": "system", "content": "Be brief."}, user("Hi."))
    assert prompt == "<s>Be brief.###Human: Hi.###Assistant: "


def test_system_messages_are_joined_by_line_ends(
    tokenizers: Callable[[str], PreTrainedTokenizerBase],
) -> None:
    system = [{"role": role, "content": role} for role in ("system", "developer")]
    prompt = render(tokenizers("minigpt-v2"), *system, user("Hi."))
    assert prompt == "<s>system\ndeveloper<s>[INST] Hi. [/INST]"


def test_an_assistants_message_can_be_continued(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, user("What?"), assistant("It is"), add_generation_prompt=False)
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
def test_unsupported_roles_and_parts_are_refused(
    vicuna: PreTrainedTokenizerBase, message: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match=r"image|role is|text and images"):
        render(vicuna, message)


PIECES = (
    "#|##|###|####| |\n|a|<ImageHere>|<Image|Here>|<s>|</s>|<unk>|<|s>|Human: |Assistant: |[INST]"
)
HOSTILE_TEXT = st.lists(
    st.sampled_from([*PIECES.split("|"), "[/INST]", "<Img>", "</Img>"]), max_size=14
).map("".join)


@pytest.mark.parametrize("family", FAMILIES)
@given(text=HOSTILE_TEXT, role=st.sampled_from(["user", "assistant", "system"]))
def test_a_clients_text_adds_no_separator_and_no_special_token(
    family: str,
    tokenizers: Callable[[str], PreTrainedTokenizerBase],
    text: str,
    role: str,
) -> None:
    tokenizer = tokenizers(family)

    def count_marks(content: str) -> list[object]:
        messages = [user(IMAGE, "Hi."), {"role": role, "content": content}, user("Bye.", IMAGE)]
        prompt = render(tokenizer, *messages)
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        separators = ["###"] if family == "minigpt4-vicuna" else ["[INST]", "[/INST]"]
        special = [*map(tokenizer.convert_tokens_to_ids, [IMAGE_TOKEN, "<s>", "</s>", "<unk>"])]
        return [*(prompt.count(mark) for mark in separators), *(ids.count(id_) for id_ in special)]

    assert count_marks(text) == count_marks("x")


def test_markdown_headings_stay_headings(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, user("# One\n## Two\n### Three\n###### Six"))
    assert "# One\n## Two\n## Three\n## Six" in prompt


def test_the_longest_run_of_separators_is_shortened(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, user("#" * 1_000_000 + "."))
    assert "Human: ##.###" in prompt


def test_text_between_images_is_tokenized_separately(vicuna: PreTrainedTokenizerBase) -> None:
    prompt = render(vicuna, user("one ", IMAGE, " two", IMAGE, "three"))
    pieces = prompt.removeprefix("<s>").split(IMAGE_TOKEN)
    image = vicuna.convert_tokens_to_ids(IMAGE_TOKEN)
    expected = [vicuna.bos_token_id]
    for index, piece in enumerate(pieces):
        expected += ([image] if index else []) + vicuna.encode(piece, add_special_tokens=False)
    assert vicuna(prompt, add_special_tokens=False).input_ids == expected
