"""The original's conversation class, and conversations to compare with it."""

from dataclasses import dataclass
from typing import Any

IMAGE_TOKEN = "<ImageHere>"
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
    """The steps of the original's demo: upload an image, ask, store the answer."""

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

    def store_answer(self, text: str) -> None:
        self.messages.append((self.style.assistant, text.strip()))

    def prompt(self) -> str:
        turns = [role + text + self.style.separator for role, text in self.messages]
        return "".join([self.style.system, self.style.separator, *turns, self.style.assistant])


Message = dict[str, Any]


def write_prompt(style: Format, messages: list[Message]) -> str:
    """Return the prompt that the original's demo writes for a conversation."""
    chat = OriginalChat(style)
    for message in messages:
        content = message["content"]
        if message["role"] == "assistant":
            chat.store_answer(content)
            continue
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "image":
                chat.upload()
            else:
                chat.ask(part["text"])
    return chat.prompt()


def write_prompt_of_one_turn(style: Format, images: int, text: str) -> str:
    """Return the prompt for several images in one message.

    The original's demo cannot send that. Its rule for one image and its text, a space between the
    parts, is applied to all parts.
    """
    chat = OriginalChat(style)
    chat.messages.append((style.human, " ".join([*images * [UPLOAD], text])))
    return chat.prompt()


def _user(*content: str | None) -> Message:
    """Make a user's message; None stands for an image."""
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
