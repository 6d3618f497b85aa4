"""The resources of clients that disconnect at random are freed."""

from tests.fuzz.disconnects import run
from tests.fuzz.test_api import assert_still_serving
from tests.server import ServerProcess

COUNT = 200
SLACK = 64 << 20
"""Bytes that allocators and caches may still take after the warm-up."""


def test_the_resources_of_disconnected_clients_are_freed(server: ServerProcess) -> None:
    assert server.process is not None
    left = run(server.url, server.pid, COUNT)
    assert not any(left.held.values())
    assert left.memory_after < left.memory_before + SLACK
    assert_still_serving(server)
