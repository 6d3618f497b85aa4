"""An answer with a schema that ends with "stop" validates, for all models, routes and families."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
from openai import BadRequestError, OpenAI
from transformers import AutoTokenizer

from service.families import FAMILIES
from service.model_folder.layout import ModelFolder
from tests.end_to_end.schemas import SCHEMAS, Schema
from tests.server import ServerProcess

MAX_TOKENS = 96
PROMPT = "Describe ### the picture."


@pytest.fixture(scope="module", params=FAMILIES)
def client(
    request: pytest.FixtureRequest,
    tiny_model: Callable[[str], ModelFolder],
    server: ServerProcess,
    path_without_compiler: str,
) -> Iterator[OpenAI]:
    """A client of a random model of each family. Such a model writes all that a grammar allows."""
    if request.param == "minigpt4-vicuna":
        yield server.openai()
        return
    environment = {"PATH": path_without_compiler}
    flags = ["--dtype", "float32", "--page", "false"]
    process = ServerProcess(tiny_model(request.param).root, flags, environment)
    try:
        yield process.start().openai()
    finally:
        process.stop()


def ask_chat(client: OpenAI, schema: Schema, stream: bool) -> tuple[str, str]:
    """Return the text of an answer and its finish reason."""
    answer: Any = client.chat.completions.create(
        model=client.models.list().data[0].id,
        messages=[{"role": "user", "content": PROMPT}],
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
        max_tokens=MAX_TOKENS,
        temperature=1,
        seed=1,
        stream=stream,
    )
    if not stream:
        choice = answer.choices[0]
        return choice.message.content, choice.finish_reason
    text, reason = "", ""
    for chunk in answer:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return text, reason


def ask_responses(client: OpenAI, schema: Schema, stream: bool) -> tuple[str, str]:
    """Ask on the responses route; return the same as :func:`ask_chat`."""
    answer: Any = client.responses.create(
        model=client.models.list().data[0].id,
        input=PROMPT,
        text={"format": {"type": "json_schema", "name": "a", "schema": schema}},
        max_output_tokens=MAX_TOKENS,
        temperature=1,
        stream=stream,
    )
    if stream:
        with answer as events:
            answer = next(event.response for event in events if event.type == "response.completed")
    return answer.output_text, "stop" if answer.status == "completed" else "length"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("ask", [ask_chat, ask_responses])
def test_an_answer_that_ends_with_stop_validates(
    client: OpenAI, ask: Callable[[OpenAI, Schema, bool], tuple[str, str]], stream: bool
) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda schema: ask(client, schema, stream), SCHEMAS))
    complete = 0
    for schema, (text, reason) in zip(SCHEMAS, answers, strict=True):
        assert reason in ("stop", "length")
        if reason == "stop":
            jsonschema.validate(json.loads(text), schema)
            complete += 1
    assert complete > len(SCHEMAS) // 2


@pytest.mark.parametrize("schema", [{"type": "integer"}, {"type": "integer", "minimum": 7}])
def test_an_integer_does_not_run_to_the_limit(client: OpenAI, schema: Schema) -> None:
    text, reason = ask_chat(client, schema, stream=False)
    assert reason == "stop"
    jsonschema.validate(json.loads(text), schema)


@pytest.mark.parametrize(
    ("constraint", "valid"),
    [({"regex": "a#{3,9}b"}, r"a#{3,9}b"), ({"choice": ["a ### b", "###"]}, r"a ### b|###")],
)
def test_the_end_mark_does_not_cut_other_constraints(
    client: OpenAI, constraint: dict[str, Any], valid: str
) -> None:
    answer = client.chat.completions.create(
        model=client.models.list().data[0].id,
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=MAX_TOKENS,
        extra_body={"structured_outputs": constraint},
    )
    assert answer.choices[0].finish_reason == "stop"
    assert re.fullmatch(valid, answer.choices[0].message.content or "")


@pytest.fixture(scope="module")
def byte_tokens(tiny_model: Callable[[str], ModelFolder]) -> dict[int, int]:
    """Return the token of each byte. The tiny models share a vocabulary."""
    folder = tiny_model("minigpt4-vicuna")
    vocabulary = AutoTokenizer.from_pretrained(folder.root / "tokenizer").get_vocab()
    return {byte: vocabulary[f"<0x{byte:02X}>"] for byte in range(256)}


@pytest.mark.parametrize(("first", "second"), [(0xED, 0xA0), (0xE0, 0x80), (0xF0, 0x80)])
@pytest.mark.parametrize("limit", [{"maxLength": 4}, {"pattern": "^.{1,4}$"}], ids=str)
def test_a_model_cannot_write_ill_formed_text(
    client: OpenAI, byte_tokens: dict[int, int], limit: Schema, first: int, second: int
) -> None:
    schema: Schema = {"type": "string", **limit}
    answer = client.chat.completions.create(
        model=client.models.list().data[0].id,
        messages=[{"role": "user", "content": PROMPT}],
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
        logit_bias={str(byte_tokens[first]): 90, str(byte_tokens[second]): 100},
        max_tokens=MAX_TOKENS,
    )
    assert answer.choices[0].finish_reason == "stop"
    text = answer.choices[0].message.content or ""
    assert "\N{REPLACEMENT CHARACTER}" not in text
    jsonschema.validate(json.loads(text), schema)


def test_a_schema_that_only_ill_formed_text_matches_is_refused(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="No text fits"):
        ask_chat(client, {"type": "string", "pattern": "^[\\ud800-\\udfff]$"}, stream=False)
    assert ask_chat(client, {"const": 1}, stream=False) == ("1", "stop")
