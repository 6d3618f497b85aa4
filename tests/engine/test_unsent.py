"""An image that never reached the engine is sent again."""

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from service.engine.unsent import dropping_unsent, mark_sent, marking_unsent
from tests.pictures import data_uri, encoded, picture
from tests.server import ServerProcess


async def prepared(forgotten: list[str]) -> dict[str, Any]:
    async def render() -> Any:
        prompt = {"mm_kwargs": {"image": [None, "data"]}, "mm_hashes": {"image": ["old", "new"]}}
        return [], [prompt]

    cache = SimpleNamespace(invalidate=forgotten.append)
    _, (prompt,) = await marking_unsent(render, cache)()
    return prompt


async def test_what_was_dropped_is_forgotten() -> None:
    forgotten: list[str] = []
    prompt = await prepared(forgotten)
    assert forgotten == []
    del prompt
    assert forgotten == ["new"]


async def test_what_was_sent_is_remembered() -> None:
    forgotten: list[str] = []
    prompt = await prepared(forgotten)
    mark_sent({**prompt})
    del prompt
    assert forgotten == []


async def test_at_a_requests_end_it_is_forgotten_whoever_still_has_it() -> None:
    forgotten: list[str] = []
    with dropping_unsent():
        kept = await asyncio.create_task(prepared(forgotten))
        assert forgotten == []
    assert forgotten == ["new"]
    with dropping_unsent():
        sent = await prepared(forgotten)
        mark_sent(sent)
    del kept, sent
    assert forgotten == ["new"]


@pytest.mark.parametrize(
    "refused",
    [
        {"n": 10**6},
        {"structured_outputs": {"regex": "("}},
        {"min_tokens": 100},
        {"logit_bias": {"9999999": 1}},
    ],
    ids=str,
)
def test_after_a_refused_request_the_image_is_served(
    server: ServerProcess, refused: dict[str, Any]
) -> None:
    image = picture("blue")
    image.putpixel((1, 1), (len(str(refused)), 7, 7))
    part = {"type": "image_url", "image_url": {"url": data_uri(encoded(image))}}
    body = {"messages": [{"role": "user", "content": [part]}], "max_tokens": 1}
    url = f"{server.url}/v1/chat/completions"
    assert httpx.post(url, json={**body, **refused}, timeout=60).status_code == 400
    assert httpx.post(url, json=body, timeout=60).status_code == 200
