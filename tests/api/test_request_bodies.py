"""Bodies that clients of other services send."""

from types import SimpleNamespace
from typing import Any

import pytest

from service.api.request_bodies import CHAT, MESSAGES, RESPONSES, BodyAdapter
from service.errors import ImageEmbeddingsError, RequestError
from service.request_context import RequestContext, current_request, enter_request, leave_request

FILE = "file-" + "0" * 32
DATA = "data:image/png;base64,AAAA"
ADAPTER = BodyAdapter(2048, embeddings_allowed=False, model_chooses=False, cap_limits=True)


def image(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address}}


def prepare(part: object, path: str = CHAT) -> Any:
    body = {"messages": [{"role": "user", "content": [part]}]}
    return ADAPTER.prepare(path, body)["messages"][0]["content"][0]


@pytest.mark.parametrize(
    ("part", "address"),
    [
        ({"type": "image_url", "image_url": DATA}, DATA),
        ({"type": "input_image", "image_url": DATA}, DATA),
        ({"type": "input_image", "image_url": {"url": DATA}}, DATA),
        ({"type": "input_image", "file_id": FILE}, FILE),
        ({"type": "file", "file": {"file_id": FILE}}, FILE),
        ({"type": "file", "file": {"file_data": DATA, "filename": "a.png"}}, DATA),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
            },
            DATA,
        ),
        ({"type": "image", "source": {"type": "url", "url": "http://x"}}, "http://x"),
        ({"type": "image", "source": {"type": "file", "file_id": FILE}}, FILE),
    ],
    ids=str,
)
def test_an_image_may_come_in_the_form_of_another_api(part: object, address: str) -> None:
    assert prepare(part) == image(address)


@pytest.mark.parametrize(
    "part",
    [
        "text",
        5,
        None,
        {"type": "text", "text": "x"},
        {"type": "image_url", "image_url": {"url": DATA, "detail": "low"}},
        {"type": 5},
    ],
    ids=str,
)
def test_other_parts_stay_as_they_are(part: object) -> None:
    assert prepare(part) == part


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "hologram"}},
        {"type": "file", "file": 5},
        {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
        {"type": "x" * 1000},
    ],
    ids=lambda part: part["type"][:20],
)
def test_a_part_that_is_not_served_is_named(part: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=part["type"][:40]) as error:
        prepare(part)
    assert len(str(error.value)) < 200


def test_embeddings_are_refused_where_they_are_off() -> None:
    with pytest.raises(ImageEmbeddingsError):
        prepare({"type": "image_embeds", "image_embeds": "x"})


def test_anthropics_file_source_becomes_an_address() -> None:
    block = {"type": "image", "source": {"type": "file", "file_id": FILE}}
    assert prepare(block, "/v1/messages")["source"] == {"type": "url", "url": FILE}
    url = {"type": "image", "source": {"type": "url", "url": "http://x"}}
    assert prepare(url, "/v1/messages") == url


@pytest.mark.parametrize("body", [[], "x", None, {"messages": 5}, {"messages": [5, None]}], ids=str)
@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/tokenize"])
def test_a_broken_body_is_left_to_the_validation(path: str, body: Any) -> None:
    assert ADAPTER.prepare(path, body) == body


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_tools_are_prepared_on_every_route_that_answers(path: str) -> None:
    assert ADAPTER.prepare(path, {"tools": []}) == {}


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/tokenize"])
def test_the_orientation_is_noted_and_taken_from_the_body(path: str) -> None:
    token = enter_request(RequestContext())
    body = {"media_io_kwargs": {"image": {"orientation": "exif"}}, "messages": []}
    assert ADAPTER.prepare(path, body) == {"messages": []}
    assert current_request().orientation == "exif"
    other = {"media_io_kwargs": {"image": {"orientation": "exif"}, "video": {"fps": 1}}}
    assert ADAPTER.prepare(path, other) == other
    wrong = {"media_io_kwargs": {"image": {"orientation": "left"}}}
    with pytest.raises(RequestError, match="orientation"):
        ADAPTER.prepare(path, wrong)
    leave_request(token)


def beam_search(**options: Any) -> SimpleNamespace:
    plain = {"stop": None, "response_format": None, "structured_outputs": None}
    return SimpleNamespace(use_beam_search=True, **{**plain, **options})


def test_a_beam_search_gets_the_clients_stop_strings() -> None:
    token = enter_request(RequestContext())
    for stop, expected in ((None, ()), ("a", ("a",)), (["a", "b"], ("a", "b"))):
        ADAPTER.finish(beam_search(stop=stop))
        assert current_request().beam_stop == expected
    leave_request(token)


@pytest.mark.parametrize(
    "bound",
    [{"structured_outputs": {}}, {"response_format": SimpleNamespace(type="json_object")}],
    ids=str,
)
def test_a_beam_search_cannot_have_a_grammar(bound: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="structured output"):
        ADAPTER.finish(beam_search(**bound))


GROUNDING = BodyAdapter(
    2048, embeddings_allowed=False, model_chooses=False, cap_limits=True, boxes=True
)


def test_an_answer_of_boxes_gets_a_regex() -> None:
    body = {"messages": [], "response_format": {"type": "boxes", "max": 1}}
    prepared = GROUNDING.prepare(CHAT, body)
    assert prepared["structured_outputs"]["regex"].startswith(" ?")
    assert "response_format" not in prepared
    text = {"messages": [], "response_format": {"type": "text"}}
    assert GROUNDING.prepare(CHAT, text) == text


@pytest.mark.parametrize(
    ("adapter", "options", "message"),
    [
        (ADAPTER, {}, "no boxes"),
        (GROUNDING, {"max": 0}, "max"),
        (GROUNDING, {"max": True}, "max"),
        (GROUNDING, {"phrases": 1}, "phrases"),
        (GROUNDING, {"form": "x"}, "form"),
    ],
    ids=str,
)
def test_an_invalid_format_of_boxes_is_refused(
    adapter: BodyAdapter, options: dict[str, Any], message: str
) -> None:
    body = {"messages": [], "response_format": {"type": "boxes", **options}}
    with pytest.raises(RequestError, match=message) as error:
        adapter.prepare(CHAT, body)
    assert error.value.parameter == "response_format"


def test_two_constraints_on_an_answer_are_refused() -> None:
    body = {"response_format": {"type": "boxes"}, "structured_outputs": {"choice": ["a"]}}
    with pytest.raises(RequestError, match="combined"):
        GROUNDING.prepare(CHAT, body)


def test_a_continued_text_is_noted_for_the_engine() -> None:
    token = enter_request(RequestContext())
    ADAPTER.finish(SimpleNamespace(continue_final_message=True))
    assert current_request().continues_text
    ADAPTER.finish(SimpleNamespace())
    assert not current_request().continues_text
    leave_request(token)


def test_a_limit_beyond_the_context_is_lowered_to_it() -> None:
    request = SimpleNamespace(max_tokens=10_000, max_completion_tokens=None, stop=None)
    ADAPTER.finish(request)
    assert request.max_tokens == 2048
    refusing = BodyAdapter(2048, embeddings_allowed=False, model_chooses=False, cap_limits=False)
    request.max_tokens = 10_000
    refusing.finish(request)
    assert request.max_tokens == 10_000
