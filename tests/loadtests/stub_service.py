"""A stand-in for the service that starts at once, and streams, drains and logs like it."""

import argparse
import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

CHUNKS, CHUNK_SECONDS = 20, 0.05


class Stub:
    """The application, and the state of the process."""

    def __init__(self) -> None:
        self.draining = False
        self.in_flight = 0
        chat = Route("/v1/chat/completions", self.chat, methods=["POST"])
        self._app = Starlette(routes=[Route("/ready", self.ready), chat])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.in_flight -= 1

    async def ready(self, _: Request) -> Response:
        return self._refuse() if self.draining else JSONResponse({})

    async def chat(self, request: Request) -> Response:
        await request.body()
        rejected = "draining" if self.draining else None
        line = {"request_id": request.headers["x-request-id"], "rejected": rejected}
        print(json.dumps(line), flush=True)
        if self.draining:
            return self._refuse()
        return StreamingResponse(self._chunks(), media_type="text/event-stream")

    async def _chunks(self) -> AsyncIterator[str]:
        for number in range(CHUNKS):
            await asyncio.sleep(CHUNK_SECONDS)
            yield f"data: {number}\n\n"
        yield "data: [DONE]\n\n"

    def _refuse(self) -> Response:
        return JSONResponse({}, 503, headers={"connection": "close"})

    def drain(self) -> None:
        self.draining = True
        asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        await asyncio.sleep(1)
        while self.in_flight:  # noqa: ASYNC110 - a stand-in may poll
            await asyncio.sleep(0.05)
        os._exit(0)


async def serve(port: int) -> None:
    stub = Stub()
    config = uvicorn.Config(stub, port=port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stub.drain)
    await serving


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
