"""A language model's own chat template, with the image's place in it, and its training format."""

import json
from importlib.resources import files
from pathlib import Path

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from service.errors import CheckpointError
from service.families import IMAGE_TOKEN, TurnFormat

_QUESTION, _ANSWER, _NEXT = "QUESTION\u2042", "ANSWER\u2042", "NEXT\u2042"
"""Texts that no chat template holds."""


def read_template(tokenizer: PreTrainedTokenizerBase, file: Path | None, source: str) -> str:
    """Return the chat template in ``file``, or the language model's own.

    Raises:
        CheckpointError: there is none, or the file cannot be read.
    """
    if file is not None:
        try:
            return file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{file} cannot be read: {error}") from error
    template = tokenizer.chat_template
    if isinstance(template, dict):  # named templates: one for tools, one for retrieval
        template = template.get("default")
    if not template:
        raise CheckpointError(
            f"{source} has no chat template: it is not a chat model, or an old one. Give a Jinja "
            "file with --template."
        )
    return template


def add_image_place(template: str, special_tokens: list[str]) -> str:
    """Put our macros before a chat template, so that messages may hold images.

    Args:
        special_tokens: Tokens that a client's text must not bring into the prompt.
    """
    templates = files("service.prompt") / "templates"
    macros, composed = (
        (templates / name).read_text("utf-8") for name in ("macros.jinja", "composed.jinja")
    )
    # Longest first: a token may be a part of another one.
    tokens = sorted({*special_tokens, IMAGE_TOKEN}, key=lambda token: (-len(token), token))
    return macros + composed.replace("SPECIAL_TOKENS", json.dumps(tokens)) + template


def read_turn_format(tokenizer: PreTrainedTokenizerBase, template: str, source: str) -> TurnFormat:
    """Find the text around a question and its answer by rendering a template.

    Raises:
        CheckpointError: the template fails, or does not keep the texts of a conversation.
    """
    question = {"role": "user", "content": _QUESTION}
    answer = {"role": "assistant", "content": _ANSWER}
    try:
        asked = _render(tokenizer, template, [question], prompt=True)
        answered = _render(tokenizer, template, [question, answer], prompt=False)
        followed = _render(
            tokenizer, template, [question, answer, {**question, "content": _NEXT}], prompt=False
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise CheckpointError(f"The chat template of {source} fails: {error}") from error
    counts = (asked.count(_QUESTION), answered.count(_ANSWER), followed.count(_NEXT))
    if counts != (1, 1, 1) or followed.count(_ANSWER) != 1:
        raise CheckpointError(
            f"The chat template of {source} does not render a question and its answer once each."
        )
    first, after = asked.split(_QUESTION)
    end = answered.split(_ANSWER)[1].strip() or str(tokenizer.eos_token or "")
    if not end:
        raise CheckpointError(
            f"Neither the chat template of {source} nor its tokenizer has a mark that ends an answer."
        )
    later = followed.split(_ANSWER)[1].split(_NEXT)[0]
    if not later.lstrip().startswith(end):
        # Nothing closes an earlier answer in the prompt; the mark is learnt before what follows.
        later = end + later
    return TurnFormat(start="", first=first, later=later.lstrip(), answer=after, end=end, said=end)


def _render(
    tokenizer: PreTrainedTokenizerBase, template: str, messages: list[dict[str, str]], prompt: bool
) -> str:
    return str(
        tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=prompt
        )
    )
