"""A request's body, read before the application asks for it."""

from starlette.types import Message, Receive


async def read_ahead(receive: Receive) -> tuple[bytes, Receive] | None:
    """The whole body, and a ``receive`` that gives it as one message and then goes on.

    None where the client went away first: there is nobody to answer.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        # One buffer: a client that sends byte by byte makes as many messages, each larger than its byte.
        whole = bytearray(body)
        while message.get("more_body", False):
            message = await receive()
            whole += message.get("body", b"")
        body = bytes(whole)
    if message["type"] == "http.disconnect":
        return None
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return body, again
