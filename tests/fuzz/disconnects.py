"""Clients that disconnect at random moments, and whether the service frees their resources.

``python -m tests.fuzz.disconnects URL PID --count 1000`` prints the figures as JSON.
"""

import argparse
import asyncio
import json
import random
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx

from loadtests.memory import tree_bytes
from tests.pictures import data_uri, encoded, picture, picture_uri

AT_ONCE = 16
LONGEST = 0.4
"""Seconds after which each client has disconnected."""

GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")


@dataclass(frozen=True)
class Disconnects:
    """The state of the service after a run of disconnects.

    Attributes:
        settled_seconds: From the last disconnect until all resources were free.
        held: The engine's gauges at that time.
        memory_before, memory_after: Resident bytes of the service's processes.
    """

    count: int
    settled_seconds: float
    held: dict[str, float]
    memory_before: int
    memory_after: int


async def disconnect_randomly(url: str, count: int, seed: int) -> None:
    """Send ``count`` requests, a few at a time.

    Their clients disconnect while sending, waiting or reading.
    """
    generator = random.Random(seed)
    plans = iter([(_request(generator), generator.uniform(0, LONGEST)) for _ in range(count)])

    async def client() -> None:
        while plan := next(plans, None):
            await _go_away(url, *plan)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


def _request(generator: random.Random) -> bytes:
    """Return a whole request or the beginning of one."""
    image = generator.choice([None, picture_uri(), _fresh(generator)])
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What is this?"}]
    if image:
        parts.insert(0, {"type": "image_url", "image_url": {"url": image}})
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": parts}],
        "max_tokens": 500,
        "ignore_eos": True,
        "stream": generator.random() < 0.6,
    }
    content = json.dumps(body).encode()
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(content)
    )
    whole = head + content
    return whole if generator.random() < 0.8 else whole[: generator.randrange(len(whole))]


def _fresh(generator: random.Random) -> str:
    """Return a new picture."""
    image = picture("blue")
    image.putpixel((0, 0), tuple(generator.randrange(256) for _ in range(3)))
    return data_uri(encoded(image))


async def _go_away(url: str, request: bytes, seconds: float) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(request)
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(4096):
                pass
    except (TimeoutError, ConnectionError):
        pass
    writer.transport.abort()


def held(url: str) -> dict[str, float]:
    """Return the engine's gauges of resources of requests."""
    found = dict.fromkeys(GAUGES, 0.0)
    for line in httpx.get(f"{url}/metrics", timeout=60).text.splitlines():
        series, _, value = line.rpartition(" ")
        if (name := series.partition("{")[0]) in found:
            found[name] += float(value)
    return found


def wait_until_nothing_is_held(url: str, seconds: float = 30) -> float:
    """Wait until all gauges are zero; return the seconds, or fail after a limit."""
    begin = monotonic()
    while any(left := held(url).values()):
        assert monotonic() - begin < seconds, f"still held: {left}"
    return monotonic() - begin


def run(url: str, pid: int, count: int, seed: int = 0) -> Disconnects:
    """Disconnect a few times to fill caches and pools, then ``count`` times; compare the memory."""
    asyncio.run(disconnect_randomly(url, max(100, count // 4), seed + 1))
    wait_until_nothing_is_held(url)
    before = tree_bytes(pid)
    asyncio.run(disconnect_randomly(url, count, seed))
    settled = wait_until_nothing_is_held(url)
    return Disconnects(count, round(settled, 2), held(url), before, tree_bytes(pid))


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("pid", type=int)
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()
    print(json.dumps(asdict(run(arguments.url, arguments.pid, arguments.count))))


if __name__ == "__main__":
    main()
