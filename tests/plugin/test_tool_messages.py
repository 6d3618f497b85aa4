"""Conversations that go on after a tool call."""

from typing import Any

import pytest

from service.plugin.tool_messages import rewrite_tool_message

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
ARGUMENTS = {"type": "text", "text": '{"a": 1}'}
SURE = {"type": "text", "text": "Sure."}


@pytest.mark.parametrize(
    ("content", "before"),
    [(None, []), ("", []), ("Sure.", [SURE]), ([SURE], [SURE])],
    ids=str,
)
def test_a_call_becomes_its_arguments(content: object, before: list[Any]) -> None:
    message = {"role": "assistant", "content": content, "tool_calls": iter([CALL])}
    expected = {"role": "assistant", "content": [*before, ARGUMENTS]}
    assert rewrite_tool_message(message) == expected


def test_a_result_becomes_the_users_turn() -> None:
    message = {"role": "tool", "tool_call_id": "1", "content": "Done."}
    assert rewrite_tool_message(message) == {"role": "user", "content": "Done."}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hi."},
        {"role": "assistant", "content": "Hi.", "tool_calls": []},
        5,
        None,
    ],
    ids=str,
)
def test_other_messages_stay(message: object) -> None:
    assert rewrite_tool_message(message) == message
