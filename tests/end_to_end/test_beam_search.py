"""Beams equal those of transformers' ``generate``, and end at the family's end mark."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from openai import BadRequestError, OpenAI

from service.model_folder.layout import ModelFolder
from tests.end_to_end.reference import Reference, Turn
from tests.end_to_end.test_answers import messages
from tests.engine.test_beams import cut_end
from tests.pictures import picture
from tests.server import ServerProcess

TOKENS = 16
CONVERSATIONS = {
    "one image": [Turn("What is this?", (picture("red"),))],
    "two turns": [Turn("What is this?", (picture("red"),), "A red circle."), Turn("Where is it?")],
}
WIDTHS = (1, 2, 5)
MODEL = "minigpt4-vicuna"


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> OpenAI:
    return server.openai()


@pytest.fixture(scope="module")
def generate(server: ServerProcess) -> Callable[..., list[list[int]]]:
    reference = Reference(ModelFolder.open(server.model))

    @torch.inference_mode()
    def beams(turns: list[Turn], width: int, penalty: float = 1.0) -> list[list[int]]:
        embeddings = reference.embed(turns)
        llama: Any = reference.llama
        generated = llama.generate(
            inputs_embeds=embeddings[None],
            attention_mask=torch.ones(1, len(embeddings)),
            max_new_tokens=TOKENS,
            do_sample=False,
            num_beams=width,
            num_return_sequences=width,
            length_penalty=penalty,
            stop_strings=["###"],
            tokenizer=reference.tokenizer,
            pad_token_id=0,
        )
        return [cut_end(tokens) for tokens in generated.tolist()]

    return beams


def search(client: OpenAI, turns: list[Turn], width: int, **extra: Any) -> Any:
    options = {"use_beam_search": True, "return_token_ids": True, **extra}
    return client.chat.completions.create(
        model=MODEL,
        messages=messages(turns),  # type: ignore[arg-type]
        n=width,
        max_tokens=TOKENS,
        extra_body=options,
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_beams_equal_those_of_generate(
    client: OpenAI, generate: Callable[..., list[list[int]]], name: str, width: int
) -> None:
    turns = CONVERSATIONS[name]
    choices = search(client, turns, width).choices
    assert [cut_end(choice.token_ids) for choice in choices] == generate(turns, width)


def test_the_length_penalty_is_that_of_generate(
    client: OpenAI, generate: Callable[..., list[list[int]]]
) -> None:
    turns = CONVERSATIONS["one image"]
    choices = search(client, turns, 2, length_penalty=0.5).choices
    assert [cut_end(choice.token_ids) for choice in choices] == generate(turns, 2, 0.5)


@pytest.mark.parametrize("route", ["chat", "stream", "completions"])
def test_beams_end_at_a_stop_string_with_the_text_cut_there(client: OpenAI, route: str) -> None:
    turns = CONVERSATIONS["one image"]
    prompt = "Hello, what"

    def ask(**options: Any) -> list[tuple[str, str | None]]:
        options = {"n": 2, "max_tokens": TOKENS, **options}
        # Without a penalty by the length, a beam that ends early is better than a longer one.
        extra = {"use_beam_search": True, "length_penalty": 0.0}
        if route == "completions":
            answer = client.completions.create(
                model=MODEL, prompt=prompt, extra_body=extra, **options
            )
            return [(choice.text, choice.finish_reason) for choice in answer.choices]
        body: Any = {"model": MODEL, "messages": messages(turns), "extra_body": extra, **options}
        if route == "chat":
            chat = client.chat.completions.create(**body)
            return [(choice.message.content, choice.finish_reason) for choice in chat.choices]
        texts, reasons = ["", ""], ["", ""]
        for chunk in client.chat.completions.create(**body, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                reasons[choice.index] = choice.finish_reason or reasons[choice.index]
        return list(zip(texts, reasons, strict=True))

    whole = ask()[0][0].strip()
    stop = whole[len(whole) // 2 :][:3]
    ended = ask(stop=[stop])
    assert all(stop not in text for text, _ in ended)
    assert "stop" in [reason for _, reason in ended]


def test_more_beams_than_log_probabilities_are_refused(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="at most 10 beams"):
        search(client, CONVERSATIONS["one image"], 11)


def test_structured_output_is_refused(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="structured output"):
        search(client, CONVERSATIONS["one image"], 2, structured_outputs={"choice": ["a"]})
