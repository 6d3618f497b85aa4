"""Comments in silent event streams, and nowhere else."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.middleware.event_stream import COMMENT, EventStream

SECONDS = 0.02


async def answered(app: ASGIApp, slow_client: float = 0) -> list[bytes]:
    """Return the bodies that reach the server; ``send`` takes ``slow_client`` seconds."""
    bodies = await sent(EventStream(app, SECONDS), slow_client)
    await asyncio.sleep(3 * SECONDS)  # a comment after the end would come now
    return bodies


async def sent(app: ASGIApp, slow_client: float = 0) -> list[bytes]:
    """Return what an application sends to a client until its end."""
    bodies: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            bodies.append(message["body"])
            await asyncio.sleep(slow_client)

    await app({"type": "http", "headers": []}, receive, send)
    return bodies


def application(content_type: bytes, *waits: float) -> ASGIApp:
    """Sends "x" after each of the waits, and the end after the last."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"content-type", content_type)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for wait in waits:
            await asyncio.sleep(wait)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


EVENTS = b"text/event-stream; charset=utf-8"


async def test_a_silent_stream_gets_comments_between_its_chunks() -> None:
    bodies = await answered(application(EVENTS, 0, 10 * SECONDS))
    assert (bodies[0], bodies[-2:]) == (b"x", [b"x", b""])
    assert set(bodies[1:-2]) == {COMMENT}


async def test_waiting_for_the_first_chunk_is_silence_as_well() -> None:
    bodies = await answered(application(EVENTS, 5 * SECONDS))
    assert bodies[0] == COMMENT


async def test_an_active_stream_gets_no_comments() -> None:
    # The loop is kept from running, so that no pause of the machine makes a silence.
    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"content-type", EVENTS)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _number in range(50):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    assert await answered(app) == [b"x"] * 50 + [b""]


async def test_other_responses_get_no_comments() -> None:
    bodies = await answered(application(b"application/json", 5 * SECONDS))
    assert bodies == [b"x", b""]


async def test_a_client_that_does_not_read_gets_no_comments() -> None:
    bodies = await answered(application(EVENTS, 0), slow_client=5 * SECONDS)
    assert bodies == [b"x", b""]


async def test_no_comments_after_the_application_has_failed() -> None:
    async def app(_: Scope, __: Receive, send: Send) -> None:
        headers = [(b"content-type", EVENTS)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise RuntimeError

    bodies: list[bytes] = []
    try:
        bodies = await answered(app)
    except RuntimeError:
        await asyncio.sleep(3 * SECONDS)
    assert bodies == []


async def test_only_streams_have_headers_against_buffering() -> None:
    for content_type, expected in ((EVENTS, "no"), (b"application/json", None)):
        starts: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(message: Message, starts: list[Message] = starts) -> None:
            starts.append(message)

        stream = EventStream(application(content_type), silence_seconds=0)
        await stream({"type": "http", "headers": []}, receive, send)
        headers = Headers(raw=starts[0]["headers"])
        assert headers.get("x-accel-buffering") == expected
        assert headers.get("cache-control") == (expected and "no-cache")
