"""The parts of the OpenAI and Anthropic protocols beyond the answer's text."""

import json
import re
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from openai import OpenAI
from pydantic import SecretStr

from tests.pictures import picture_uri
from tests.server import ServerProcess

MODEL = "minigpt4-vicuna"
VISUAL_TOKENS = 32


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> OpenAI:
    return server.openai()


def question(text: str = "What is this?", *colours: str) -> Any:
    images = [
        {"type": "image_url", "image_url": {"url": picture_uri(colour)}}
        for colour in colours or ("red",)
    ]
    return [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]


def ask(client: OpenAI, messages: Any = None, **options: Any) -> Any:
    return client.chat.completions.create(
        model=MODEL, messages=messages or question(), **{"max_tokens": 8, **options}
    )


def test_a_stream_carries_the_same_text_and_the_usage(client: OpenAI) -> None:
    whole = ask(client, temperature=0).choices[0].message.content
    stream = ask(client, temperature=0, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole
    assert chunks[-1].usage.completion_tokens == 8


def test_usage_counts_an_images_tokens(client: OpenAI) -> None:
    one = ask(client, question("Hi.", "red")).usage
    two = ask(client, question("Hi.", "red", "blue")).usage
    tags = 2
    assert two.prompt_tokens - one.prompt_tokens >= VISUAL_TOKENS + tags
    assert two.prompt_tokens_details.multimodal_tokens == {"image": 2 * VISUAL_TOKENS}


def test_logprobs_n_and_seed(client: OpenAI) -> None:
    first, second = (
        ask(client, n=3, seed=7, logprobs=True, top_logprobs=2, temperature=1.0).choices
        for _ in range(2)
    )
    assert [choice.message.content for choice in first] == [
        choice.message.content for choice in second
    ]
    assert len({choice.message.content for choice in first}) > 1
    assert all(len(token.top_logprobs) == 2 for token in first[0].logprobs.content)


def test_logprobs_of_the_prompt_reach_across_an_image(client: OpenAI) -> None:
    response = ask(client, extra_body={"prompt_logprobs": 1})
    assert len(response.prompt_logprobs) == response.usage.prompt_tokens


def test_stop_and_logit_bias(client: OpenAI) -> None:
    response = ask(client, logit_bias={"300": 100}, temperature=0)
    token = response.choices[0].message.content
    assert token == token[: len(token) // 8] * 8
    stopped = ask(client, logit_bias={"300": 100}, temperature=0, stop=[token[: len(token) // 8]])
    assert stopped.choices[0].finish_reason == "stop"
    assert stopped.choices[0].message.content == ""


def test_json_schema_and_regex_output(client: OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"shape": {"enum": ["circle", "square"]}},
        "required": ["shape"],
        "additionalProperties": False,
    }
    response_format = {"type": "json_schema", "json_schema": {"name": "shape", "schema": schema}}
    answer = ask(client, response_format=response_format, max_tokens=60).choices[0].message.content
    assert json.loads(answer)["shape"] in ("circle", "square")
    constrained = ask(
        client, extra_body={"structured_outputs": {"regex": "[ab]{4}"}}, max_tokens=20
    )
    assert re.fullmatch("[ab]{4}", constrained.choices[0].message.content)


def test_beam_search(client: OpenAI) -> None:
    response = ask(client, n=2, temperature=0, extra_body={"use_beam_search": True})
    assert len({choice.message.content for choice in response.choices}) == 2


def test_the_responses_route_sees_the_image(client: OpenAI) -> None:
    def respond(colour: str) -> str:
        content: Any = [
            {"type": "input_image", "image_url": picture_uri(colour), "detail": "auto"},
            {"type": "input_text", "text": "What is this?"},
        ]
        return client.responses.create(
            model=MODEL,
            input=[{"role": "user", "content": content}],
            max_output_tokens=8,
            temperature=0,
        ).output_text

    assert respond("red") != respond("blue")
    expected = ask(client, question("What is this?", "red"), temperature=0)
    assert respond("red") == expected.choices[0].message.content


@pytest.fixture
def claude(server: ServerProcess) -> Iterator[anthropic.Anthropic]:
    """An Anthropic client."""
    with anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0) as client:
        yield client


def test_anthropics_messages_see_the_image(claude: anthropic.Anthropic, client: OpenAI) -> None:
    def respond(colour: str) -> str:
        data = picture_uri(colour).partition(",")[2]
        source = {"type": "base64", "media_type": "image/png", "data": data}
        content: Any = [
            {"type": "image", "source": source},
            {"type": "text", "text": "What is this?"},
        ]
        response = claude.messages.create(
            model=MODEL,
            max_tokens=8,
            messages=[{"role": "user", "content": content}],
            extra_body={"temperature": 0},
        )
        return "".join(block.text for block in response.content if block.type == "text")

    assert respond("red") != respond("blue")
    expected = ask(client, question("What is this?", "red"), temperature=0)
    assert respond("red") == expected.choices[0].message.content


def test_langchain(server: ServerProcess) -> None:
    with httpx.Client() as connections:
        model = ChatOpenAI(
            model=MODEL,
            base_url=f"{server.url}/v1",
            api_key=SecretStr("unused"),
            max_completion_tokens=8,
            temperature=0,
            http_client=connections,
        )
        answer = model.invoke([HumanMessage(content=question()[0]["content"])])
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] > VISUAL_TOKENS
    assert answer.content


def test_text_completions_and_tokenize(server: ServerProcess, client: OpenAI) -> None:
    assert client.completions.create(model=MODEL, prompt="Give the", max_tokens=4).choices[0].text
    body = {"model": MODEL, "prompt": "Give the", "add_special_tokens": True}
    tokens = httpx.post(f"{server.url}/tokenize", json=body).json()["tokens"]
    assert tokens[0] == 1
    answer = httpx.post(f"{server.url}/detokenize", json={"model": MODEL, "tokens": tokens[1:]})
    assert answer.json()["prompt"].strip() == "Give the"


def test_default_sampling_is_the_demos_and_each_part_can_be_overridden(client: OpenAI) -> None:
    ignoring = {"ignore_eos": True}
    assert ask(client, max_tokens=None, extra_body=ignoring).usage.completion_tokens == 300
    assert ask(client, max_tokens=310, extra_body=ignoring).usage.completion_tokens == 310
    answers = {ask(client).choices[0].message.content for _ in range(3)}
    assert len(answers) > 1, "temperature 1.0 is the default"
    answers = {ask(client, temperature=0).choices[0].message.content for _ in range(3)}
    assert len(answers) == 1


def test_an_answer_ends_at_the_familys_separator(server: ServerProcess, client: OpenAI) -> None:
    text = {"model": MODEL, "prompt": "a#", "add_special_tokens": False}
    tokens = httpx.post(f"{server.url}/tokenize", json=text).json()["tokens"]
    forced = {"allowed_token_ids": tokens[-1:]}
    choice = ask(client, max_tokens=60, extra_body=forced, stop=None).choices[0]
    assert choice.finish_reason == "stop"
    assert choice.stop_reason is None, "the client sent no stop string"
    assert choice.message.content == ""
    asked = ask(client, max_tokens=60, extra_body=forced, stop=["###"]).choices[0]
    assert (asked.finish_reason, asked.stop_reason) == ("stop", "###")


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_clients_get_a_complete_constrained_answer(
    server: ServerProcess, stream: bool
) -> None:
    """The family's separator does not end an answer with a grammar."""
    body = {
        "model": MODEL,
        "max_tokens": 60,
        "messages": [{"role": "user", "content": "Say ab."}],
        "output_config": {"format": {"type": "json_schema", "schema": {"const": "ab###cd"}}},
        "stream": stream,
    }
    answer = httpx.post(f"{server.url}/v1/messages", json=body, timeout=60).text
    assert '"stop_reason":"end_turn"' in answer
    if not stream:
        assert "ab###cd" in answer


def test_request_ids_and_probes(server: ServerProcess, client: OpenAI) -> None:
    answer = httpx.get(f"{server.url}/v1/models", headers={"X-Request-Id": "abc"})
    assert answer.headers["x-request-id"] == "abc"
    assert httpx.get(f"{server.url}/health").status_code == 200
    assert httpx.get(f"{server.url}/ready").json() == {"status": "ready"}
    assert [model.id for model in client.models.list()] == [MODEL]


@pytest.mark.parametrize(
    "path",
    ["/scale_elastic_ep", "/inference/v1/abort_requests", "/v1/chat/completions/batch", "/ping"],
)
def test_routes_that_control_the_engine_are_off(server: ServerProcess, path: str) -> None:
    answer = httpx.post(f"{server.url}{path}", json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == 404


def test_metrics_of_engine_and_encoder(server: ServerProcess, client: OpenAI) -> None:
    def images(outcome: str) -> float:
        return server.metric("minigpt4_encoder_images_total", outcome=outcome)

    encoded_before, cached_before = images("encoded"), images("cached")
    for _ in range(2):
        ask(client, question("What is this?", "purple"))
    assert images("encoded") == encoded_before + 1
    assert images("cached") == cached_before + 1
    assert server.metric("minigpt4_encoder_batch_size_count") > 0
    assert server.metric("vllm:time_to_first_token_seconds_count") > 0
