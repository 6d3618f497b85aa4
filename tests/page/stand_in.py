"""The page on a stand-in for the service, which answers at once, without a model."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from service.api.routes.api_documentation import attach_documentation
from service.api.routes.page import attach_page
from service.settings import load_settings
from tests.fake_openai import serve_app

PICTURES = 3
"""Pictures that a conversation may have."""

MAX_BYTES = 100_000
KEY = "correct-horse"


@contextmanager
def stand_in(model: Path, *, needs_key: bool = False) -> Iterator[str]:
    """Serve the page on a free port; the value is the address."""
    app = FastAPI(title="MiniGPT-4 service", docs_url=None, redoc_url=None)
    limits: dict[str, Any] = {"images_per_prompt": PICTURES, "image_max_bytes": MAX_BYTES}
    attach_page(app, model, {"temperature": 1.0}, load_settings(None, **limits))
    attach_documentation(app)

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse("vllm:num_requests_running 0\n")

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        """List the only model."""
        if needs_key and request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": "A valid API key is needed."}}, 401)
        return JSONResponse({"data": [{"id": "stand-in"}]})

    @app.post("/v1/chat/completions")
    async def chat() -> Response:
        choice = {"index": 0, "delta": {"content": "An answer."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 40, "completion_tokens": 3}
        chunk = json.dumps({"choices": [choice], "usage": usage})
        return Response(f"data: {chunk}\n\ndata: [DONE]\n\n", media_type="text/event-stream")

    with serve_app(app) as url:
        yield url
