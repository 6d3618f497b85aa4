"""Bodies that are read ahead."""

import tracemalloc

from starlette.types import Message

from service.api.middleware.read_ahead import read_ahead


class Client:
    """Sends ``count`` messages of two bytes and disconnects, or disconnects before the last."""

    def __init__(self, count: int, *, stays: bool = True) -> None:
        self._count = count
        self._stays = stays

    async def receive(self) -> Message:
        self._count -= 1
        if self._count < 0 or (self._count == 0 and not self._stays):
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": bytes(2), "more_body": self._count > 0}


async def test_the_body_is_received_as_one_message_followed_by_later_messages() -> None:
    for count in (1, 3):
        arrived = await read_ahead(Client(count).receive)
        assert arrived
        body, again = arrived
        assert body == bytes(2 * count)
        assert await again() == {"type": "http.request", "body": body, "more_body": False}
        assert await again() == {"type": "http.disconnect"}


async def test_a_disconnected_client_has_no_body() -> None:
    assert await read_ahead(Client(3, stays=False).receive) is None
    assert await read_ahead(Client(1, stays=False).receive) is None


async def test_a_body_in_small_parts_takes_no_more_memory_than_its_bytes() -> None:
    count = 100_000
    tracemalloc.start()
    try:
        assert await read_ahead(Client(count).receive)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * (2 * count)
