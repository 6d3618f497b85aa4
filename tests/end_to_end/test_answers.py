"""Over HTTP, the service gives the same tokens as the reference, in float32."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import OpenAI

from service.model_folder.layout import ModelFolder
from tests.end_to_end.reference import Reference, Turn
from tests.pictures import data_uri, encoded, picture
from tests.server import ServerProcess

TOKENS = 24
RED, BLUE, GREEN = picture("red"), picture("blue"), picture("green")

CONVERSATIONS = {
    "one image": [Turn("What is this?", (RED,))],
    "text only": [Turn("Hello! How are you?")],
    "two turns": [Turn("What is this?", (RED,), "A red circle."), Turn("Where is it?")],
    "image in the second turn": [Turn("Hello!", (), "Hi."), Turn("And this?", (GREEN,))],
    "two images in a turn": [Turn("Compare them.", (RED, BLUE))],
    "the same image twice": [Turn("Compare them.", (RED, RED))],
    "an image a turn": [Turn("What is this?", (BLUE,), "A disc."), Turn("And this?", (RED,))],
    "markdown and newlines": [Turn("Reply with\n# Title\n- item\nin that form.", (RED,))],
}


@pytest.fixture(scope="module")
def reference(server: ServerProcess) -> Reference:
    return Reference(ModelFolder.open(server.model))


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> OpenAI:
    return server.openai()


def messages(turns: list[Turn]) -> list[dict[str, Any]]:
    """Return the conversation as OpenAI messages."""
    result: list[dict[str, Any]] = []
    for turn in turns:
        images = [
            {"type": "image_url", "image_url": {"url": data_uri(encoded(image))}}
            for image in turn.images
        ]
        content = [*images, {"type": "text", "text": turn.text}]
        result.append({"role": "user", "content": content})
        if turn.answer is not None:
            result.append({"role": "assistant", "content": turn.answer})
    return result


def greedy(client: OpenAI, turns: list[Turn]) -> list[int]:
    """Return the answer's token ids, without the repetition penalty, which counts the prompt."""
    response = client.chat.completions.create(
        model="minigpt4-vicuna",
        messages=messages(turns),  # type: ignore[arg-type]
        temperature=0,
        max_tokens=TOKENS,
        extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
    )
    ids: list[int] = response.choices[0].token_ids  # type: ignore[attr-defined]
    return ids


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_tokens_equal_the_reference(client: OpenAI, reference: Reference, name: str) -> None:
    turns = CONVERSATIONS[name]
    assert greedy(client, turns) == reference.answer(turns, TOKENS)


def test_a_cached_request_answers_the_same(
    server: ServerProcess, client: OpenAI, reference: Reference
) -> None:
    turns = CONVERSATIONS["an image a turn"]
    first = greedy(client, turns)
    hits = server.metric("vllm:prefix_cache_hits_total")
    second = greedy(client, turns)
    assert server.metric("vllm:prefix_cache_hits_total") > hits, "the prefix was not cached"
    assert first == second == reference.answer(turns, TOKENS)


def test_a_mixed_batch_under_load_answers_the_same(client: OpenAI, reference: Reference) -> None:
    conversations = list(CONVERSATIONS.values()) * 3
    with ThreadPoolExecutor(len(conversations)) as threads:
        answers = list(threads.map(lambda turns: greedy(client, turns), conversations))
    expected = [reference.answer(turns, TOKENS) for turns in CONVERSATIONS.values()] * 3
    assert answers == expected


def test_images_behind_identical_token_ids_are_never_mixed(
    client: OpenAI, reference: Reference
) -> None:
    """All images have the same placeholder ids; a hash of the content separates cache entries."""
    long_text = "Describe the picture in detail and name all of its colours, please. " * 4
    pairs = [[Turn(long_text, (image,))] for image in (RED, BLUE, GREEN)]
    expected = [reference.answer(turns, TOKENS) for turns in pairs]
    assert len({tuple(answer) for answer in expected}) == 3, "the images must matter for this test"
    for _ in range(2):
        assert [greedy(client, turns) for turns in pairs] == expected


def test_a_clients_own_image_identifier_cannot_name_a_cache_entry(
    client: OpenAI, reference: Reference
) -> None:
    for image in (RED, BLUE):
        turns = [Turn("What is this?", (image,))]
        body = messages(turns)
        body[0]["content"][0]["uuid"] = "mine"
        response = client.chat.completions.create(
            model="minigpt4-vicuna",
            messages=body,  # type: ignore[arg-type]
            temperature=0,
            max_tokens=TOKENS,
            extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
        )
        ids = response.choices[0].token_ids  # type: ignore[attr-defined]
        assert ids == reference.answer(turns, TOKENS)
