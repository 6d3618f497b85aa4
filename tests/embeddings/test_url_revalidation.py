"""A URL that is repeated within a short time costs one small request, and never gives an old image."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from PIL import Image

from service.embeddings import url_revalidation
from service.embeddings.encode import encode_source
from service.request_context import RequestContext, enter_request, leave_request
from service.settings import load_settings
from service.vision import shared
from service.vision.limits import EncodingLimits
from service.vision.runtime import EncodingRuntime
from tests.pictures import encoded
from tests.vision.fake_encoder import FakeEncoder

RED, BLUE = (encoded(Image.new("RGB", (8, 8), colour)) for colour in ("#100000", "#000010"))
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"


def image(data: bytes, *headers: str) -> bytes:
    """A response with the file and these headers."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(data)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


class Server:
    """Answers with the responses given, one after the other."""

    def __init__(self, *responses: bytes) -> None:
        self._responses = list(responses)
        self.requests: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self._responses.pop(0))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def run(server: Server) -> AsyncIterator[str]:
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/image.png"


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEncoder]:
    """Counts what is encoded; the service remembers URLs for a minute."""
    encoder = FakeEncoder()
    settings = load_settings(
        image_url_cache_seconds="60", image_allow_private_addresses="true", isolate_keys="true"
    )
    runtime = EncodingRuntime(encoder, EncodingLimits.from_settings(settings))
    monkeypatch.setattr(shared._process, "settings", settings)
    monkeypatch.setattr(shared._process, "runtime", runtime)
    runtime.startup()
    yield encoder
    runtime.shutdown()
    url_revalidation.url_memory.cache_clear()


async def test_an_unchanged_image_is_not_sent_again(encoder: FakeEncoder) -> None:
    server = Server(image(RED, 'ETag: "a"', "Last-Modified: yesterday"), NOT_MODIFIED)
    async with run(server) as url:
        first, second = await encode_source(url), await encode_source(url)
    assert second.digest == first.digest
    assert "If-None-Match" not in server.requests[0]
    assert 'If-None-Match: "a"\r\n' in server.requests[1]
    assert "If-Modified-Since: yesterday\r\n" in server.requests[1]
    assert len(encoder.batches) == 1


async def test_a_changed_image_is_seen_at_once(encoder: FakeEncoder) -> None:
    server = Server(image(RED, 'ETag: "a"'), image(BLUE, 'ETag: "b"'), NOT_MODIFIED)
    async with run(server) as url:
        digests = [(await encode_source(url)).digest for _ in range(3)]
    assert digests[0] != digests[1] == digests[2]
    assert 'If-None-Match: "b"\r\n' in server.requests[2]


@pytest.mark.parametrize("headers", [(), ("Cache-Control: max-age=600",)], ids=str)
async def test_without_a_version_the_image_is_downloaded_again(
    encoder: FakeEncoder, headers: tuple[str, ...]
) -> None:
    server = Server(image(RED, *headers), image(BLUE, *headers))
    async with run(server) as url:
        first, second = await encode_source(url), await encode_source(url)
    assert first.digest != second.digest
    assert "If-None-Match" not in server.requests[1]


async def test_other_orientations_and_keys_are_downloaded_for_themselves(
    encoder: FakeEncoder,
) -> None:
    response = image(RED, 'ETag: "a"')
    server = Server(response, response, response)
    async with run(server) as url:
        await encode_source(url)
        await encode_source(url, "exif")
        token = enter_request(RequestContext(tenant="other"))
        await encode_source(url)
        leave_request(token)
    assert not any("If-None-Match" in request for request in server.requests)


async def test_an_image_whose_embeddings_are_gone_is_downloaded_again(
    encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = image(RED, 'ETag: "a"')
    server = Server(response, response)
    async with run(server) as url:
        await encode_source(url)

        async def find_nothing(*_: object) -> None:
            return None

        monkeypatch.setattr(EncodingRuntime, "find_cached", find_nothing)
        await encode_source(url)
    assert "If-None-Match" not in server.requests[1]


async def test_it_is_off_by_default(encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(image_allow_private_addresses="true")
    monkeypatch.setattr(shared._process, "settings", settings)
    response = image(RED, 'ETag: "a"')
    server = Server(response, response)
    async with run(server) as url:
        for _ in range(2):
            await encode_source(url)
    assert "If-None-Match" not in server.requests[1]
