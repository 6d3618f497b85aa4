"""Prompts of imported folders against what the original's conversation class renders and tokenizes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from service.families import IMAGE_TOKEN
from service.model_folder.layout import ModelFolder
from tests.checkpoints.conftest import FAMILIES
from tests.checkpoints.published import Published
from tests.checkpoints.test_tokenizer import original_ids

SYSTEM = (
    "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I "
    "provide it to you. Please answer my questions."
)
UPLOAD = f"<Img>{IMAGE_TOKEN}</Img>"


@dataclass(frozen=True)
class Format:
    """The original's constants of one family."""

    system: str
    human: str
    assistant: str
    separator: str


FORMATS = {
    "minigpt4-vicuna": Format(SYSTEM, "Human: ", "Assistant: ", "###"),
    "minigpt4-llama2": Format(SYSTEM, "<s>[INST] ", " [/INST] ", ""),
    "minigpt-v2": Format("", "<s>[INST] ", " [/INST]", ""),
}


class OriginalChat:
    """The demo's steps: upload an image, ask, store the answer."""

    def __init__(self, style: Format) -> None:
        self.style = style
        self.messages: list[tuple[str, str]] = []

    def upload(self) -> None:
        self.messages.append((self.style.human, UPLOAD))

    def ask(self, text: str) -> None:
        if self.messages and self.messages[-1] == (self.style.human, UPLOAD):
            self.messages[-1] = (self.style.human, f"{UPLOAD} {text}")
        else:
            self.messages.append((self.style.human, text))

    def answered(self, text: str) -> None:
        self.messages.append((self.style.assistant, text.strip()))

    def prompt(self) -> str:
        turns = [role + text + self.style.separator for role, text in self.messages]
        return "".join([self.style.system, self.style.separator, *turns, self.style.assistant])


Message = dict[str, Any]


def played(style: Format, messages: list[Message]) -> str:
    chat = OriginalChat(style)
    for message in messages:
        content = message["content"]
        if message["role"] == "assistant":
            chat.answered(content)
            continue
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "image":
                chat.upload()
            else:
                chat.ask(part["text"])
    return chat.prompt()


def in_one_turn(style: Format, images: int, text: str) -> str:
    """The prompt of several images in one message: the original's demo cannot send that.

    Its rule for one image and its text, a space between the parts, goes on from there.
    """
    chat = OriginalChat(style)
    chat.messages.append((style.human, " ".join([*images * [UPLOAD], text])))
    return chat.prompt()


def _user(*content: str | None) -> Message:
    """None is an image."""
    parts = [{"type": "image"} if p is None else {"type": "text", "text": p} for p in content]
    return {"role": "user", "content": parts}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


COMPARE = "Compare the two images."
TWO_IMAGES = [_user(None, None, COMPARE)]
CONVERSATIONS = {
    "one image": [_user(None, "What is in this picture?")],
    "text is not stripped": [_user(None, "  What\n\nis this?  ")],
    "other scripts": [_user(None, "这是什么? 🙂 naïve")],
    "two turns": [
        _user(None, "Describe this image."),
        _assistant("  A cat on a table.\n"),
        _user(" And its colour? "),
    ],
    "three turns": [
        _user(None, "one"),
        _assistant("two"),
        _user("three"),
        _assistant("four"),
        _user("five"),
    ],
    "two uploads before a question": [_user(None), _user(None, "Compare the two images.")],
    "an image in a later turn": [
        _user(None, "What is this?"),
        _assistant("A cat."),
        _user(None, "And this?"),
    ],
    "text only": [{"role": "user", "content": "Hello! How are you?"}],
    "text only, two turns": [_user("Hello!"), _assistant("Hi."), _user("Tell me more.")],
    "grounding": [_user(None, "[grounding] describe this image in detail")],
    "refer": [_user(None, "[refer] the cat")],
    "detection": [_user(None, "[detection] cats")],
    "caption": [_user(None, "[caption] what is it")],
    "question": [_user(None, "[vqa] What colour is it?")],
    "identify": [_user(None, "[identify] what is this {<10><20><30><40>}")],
    "a box in an answer": [
        _user(None, "[refer] the cat"),
        _assistant("<p>cat</p> {<1><2><30><100>}"),
        _user("[identify] {<1><2><30><100>}"),
    ],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_are_the_originals(
    family: str, name: str, published: Callable[[str], Published], imported: Callable[[str], Path]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(ModelFolder.open(imported(family)).tokenizer)
    messages = CONVERSATIONS[name]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    wanted = played(FORMATS[family], messages)
    assert rendered == f"<s>{wanted}"

    model = published(family).language_model / "tokenizer.model"
    image_id = tokenizer.get_vocab()[IMAGE_TOKEN]
    found = tokenizer(rendered, add_special_tokens=False).input_ids
    assert found == original_ids(model, wanted, image_id)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_images_in_one_message_stay_in_one_turn(
    family: str, imported: Callable[[str], Path]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(ModelFolder.open(imported(family)).tokenizer)
    rendered = tokenizer.apply_chat_template(TWO_IMAGES, tokenize=False, add_generation_prompt=True)
    assert rendered == "<s>" + in_one_turn(FORMATS[family], 2, COMPARE)
