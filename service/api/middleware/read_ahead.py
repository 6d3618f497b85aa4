"""Reads a request's body before the application asks for it."""

from starlette.types import Message, Receive


async def read_ahead(receive: Receive) -> tuple[bytes, Receive] | None:
    """Read the whole body.

    Returns:
        The body, and a ``receive`` that gives it as one message and then continues. None if the
        client disconnected first.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        # One buffer: a client that sends byte by byte causes one message for each byte, which takes
        # more memory.
        whole = bytearray(body)
        while message.get("more_body", False):
            message = await receive()
            whole += message.get("body", b"")
        body = bytes(whole)
    if message["type"] == "http.disconnect":
        return None
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return body, replay
