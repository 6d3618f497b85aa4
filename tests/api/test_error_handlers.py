"""Exception handlers: each 500 leaves one traceback in the log."""

import asyncio
import logging

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.api.error_handlers import log_failures
from service.errors import EncodingError, ImageFormatError


async def handler(_: Request, error: Exception) -> Response:
    return JSONResponse({}, 400 if isinstance(error, ImageFormatError) else 500)


@pytest.mark.parametrize(("error", "records"), [(ImageFormatError, 0), (EncodingError, 1)])
def test_a_500_leaves_its_traceback_in_the_log_once(
    error: type[Exception], records: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    app.add_exception_handler(error, handler)
    log_failures(app)

    @app.get("/fail")
    async def fail() -> None:
        raise error("failed") from RuntimeError("CUDA error")

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            return await http.get("/fail")

    with caplog.at_level(logging.ERROR):
        asyncio.run(get())
    assert len(caplog.records) == records
    assert caplog.text.count("RuntimeError: CUDA error") == records
