"""A stand-in for an OpenAI-compatible service, whose answers come from a function."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

Answerer = Callable[[dict[str, Any]], tuple[str, int, str]]
"""From a request's body to text, completion tokens and finish reason."""


class UnsupportedParameterError(Exception):
    """What an answerer raises to refuse the parameter that it names, as OpenAI does."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def fake_openai(answer: Answerer) -> Iterator[str]:
    """Serve on a free port; the value is the address."""

    async def models(_: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": [{"id": "fake", "object": "model"}]})

    async def chat(request: Request) -> JSONResponse:
        try:
            text, tokens, reason = answer(await request.json())
        except UnsupportedParameterError as error:
            body = {"message": "Unsupported parameter.", "param": str(error)}
            return JSONResponse({"error": body}, status_code=400)
        except ValueError as error:
            return JSONResponse({"error": {"message": str(error)}}, status_code=400)
        message = {"role": "assistant", "content": text}
        return JSONResponse(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "fake",
                "choices": [{"index": 0, "message": message, "finish_reason": reason}],
                "usage": {
                    "prompt_tokens": 1,
                    "completion_tokens": tokens,
                    "total_tokens": 1 + tokens,
                },
            }
        )

    with _served(
        Route("/v1/models", models), Route("/v1/chat/completions", chat, methods=["POST"])
    ) as url:
        yield url


@contextmanager
def web_site(status: int = 200) -> Iterator[str]:
    """Serve a web page, whatever is asked; the value is the address."""

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse("<!doctype html>\n<title>Hello</title>\n<p>Hello.", status)

    with _served(Route("/{path:path}", page, methods=["GET", "POST"])) as url:
        yield url


def _served(*routes: Route) -> AbstractContextManager[str]:
    return serve_app(Starlette(routes=list(routes)))


@contextmanager
def serve_app(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port, in a thread; the value is the address."""
    server = _Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.listening.wait(20)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
