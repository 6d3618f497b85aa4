"""Which tools are served."""

from typing import Any

import pytest

from service.api.tool_choice import prepare_tools
from service.errors import RequestError

TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    "tools",
    [
        {"tools": []},
        {"tools": None},
        {"tools": TOOLS, "tool_choice": "none"},
        {"tools": TOOLS, "tool_choice": {"type": "none"}},
        {"tool_choice": "auto"},
    ],
    ids=str,
)
def test_unused_tools_are_removed(tools: dict[str, Any]) -> None:
    assert prepare_tools({"messages": [], **tools}, model_chooses=False) == {"messages": []}


@pytest.mark.parametrize(
    "choice",
    [{}, {"tool_choice": None}, {"tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}],
    ids=str,
)
def test_a_free_choice_of_the_model_is_refused_with_advice(
    choice: dict[str, Any],
) -> None:
    body = {"tools": TOOLS, **choice}
    with pytest.raises(RequestError, match="--tool-call-parser"):
        prepare_tools(body, model_chooses=False)
    assert prepare_tools(body, model_chooses=True) == body


@pytest.mark.parametrize(
    ("tool", "choice", "named"),
    [
        (TOOLS[0], "required", {"type": "function", "function": {"name": "f"}}),
        ({"type": "function", "name": "f"}, "required", {"type": "function", "name": "f"}),
        (
            {"name": "f", "input_schema": {}},
            {"type": "any", "disable_parallel_tool_use": True},
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        ),
    ],
    ids=["chat", "responses", "messages"],
)
def test_the_only_function_is_required_by_its_name(
    tool: dict[str, Any], choice: object, named: dict[str, Any]
) -> None:
    body = {"tools": [tool], "tool_choice": choice}
    assert prepare_tools(body, model_chooses=False) == {"tools": [tool], "tool_choice": named}
    several = {"tools": [tool, tool], "tool_choice": choice}
    for model_chooses, given in ((True, body), (False, several)):
        assert prepare_tools(given, model_chooses) == given


@pytest.mark.parametrize("tools", [5, [5], [{"type": "custom"}], {"a": 1}], ids=str)
def test_malformed_tools_are_left_to_vllms_validation(tools: object) -> None:
    body = {"tools": tools, "tool_choice": "required"}
    assert prepare_tools(body, model_chooses=False) == body


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "name": "f"},
        {"type": "tool", "name": "f"},
    ],
    ids=str,
)
def test_functions_that_the_client_names_are_served(choice: object) -> None:
    body = {"tools": TOOLS, "tool_choice": choice}
    assert prepare_tools(body, model_chooses=False) == body
