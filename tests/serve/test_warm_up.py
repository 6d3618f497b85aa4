"""The requests that the service answers for itself before it is ready."""

import json
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from service.serve.warm_up import SEQUENCES, WarmUpError, warm_up, warm_up_bodies


class App:
    """Answers every request with one status, and remembers the bodies."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"] == "/v1/chat/completions"
        self.bodies.append(json.loads((await receive())["body"]))
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"too many ", "more_body": True})
        await send({"type": "http.response.body", "body": b"sequences"})


async def test_it_asks_for_everything_that_compiles_kernels() -> None:
    app = App(200)
    assert await warm_up(app, warm_up_bodies()) == []
    assert {body["n"] for body in app.bodies} == set(SEQUENCES)
    with_image = [body for body in app.bodies if len(body["messages"][0]["content"]) == 2]
    assert len(with_image) == len(SEQUENCES)
    assert not any("temperature" in body for body in app.bodies), "the default sampling is wanted"
    constrained = [body for body in app.bodies if "response_format" in body]
    assert len(constrained) == len(SEQUENCES)
    assert all(body["logprobs"] for body in constrained)


async def test_a_request_that_flags_rule_out_is_told() -> None:
    assert await warm_up(App(400), warm_up_bodies((1,))) == ["too many sequences"] * 2


async def test_a_failure_ends_the_start() -> None:
    with pytest.raises(WarmUpError, match="too many sequences"):
        await warm_up(App(500), warm_up_bodies())
