"""HEAD is GET without the body."""

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.api.middleware.head_requests import HeadRequests

methods: list[str] = []


async def answer(request: Request) -> Response:
    methods.append(request.method)
    return PlainTextResponse("answer")


async def test_head_is_answered_as_get_without_the_body() -> None:
    routes = [Route("/get", answer), Route("/post", answer, methods=["POST"])]
    app = HeadRequests(Starlette(routes=routes))
    methods.clear()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
        head, get = await http.head("/get"), await http.get("/get")
        assert (head.status_code, head.content, get.text) == (200, b"", "answer")
        assert head.headers == get.headers
        assert (await http.head("/post")).status_code == 405
        assert (await http.post("/post")).text == "answer"
    assert methods == ["GET", "GET", "POST"]
