"""A request's body, read before the application asks for it."""

from starlette.types import Message, Receive


async def read_ahead(receive: Receive) -> tuple[list[Message], Receive]:
    """All messages of a body, and a ``receive`` that gives them again and then goes on."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body", False):
        messages.append(await receive())
    waiting = iter(messages)

    async def again() -> Message:
        return next(waiting, None) or await receive()

    return messages, again
