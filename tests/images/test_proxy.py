"""Fetching through the operator's proxy: addresses are checked as without one."""

import asyncio
import base64
import socket

import pytest

from service.errors import ImageFetchError, ImageSourceError, SettingsError
from service.images.fetch_policy import FetchPolicy
from service.images.fetching import fetch_image
from service.settings import load_settings

PUBLIC = "93.184.216.34"
PRIVATE = "10.0.0.1"
NAMES = {"public.example": PUBLIC, "private.example": PRIVATE, "xn--bcher-kva.example": PUBLIC}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nimage"
REDIRECT = b"HTTP/1.1 302 X\r\nLocation: http://private.example/\r\nContent-Length: 0\r\n\r\n"
TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"


class Proxy:
    """Records what it is asked for, and gives the same answer to all."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self._answer = answer
        self.requests: list[str] = []
        self.hello = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self._answer)
        if self._answer == TUNNEL:
            self.hello = await reader.read(4096)
        writer.close()


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (NAMES.get(host, host), port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def fetch(proxy: Proxy, url: str, credentials: str = "") -> bytes:
    async with await asyncio.start_server(proxy.serve, "127.0.0.1") as listener:
        port = listener.sockets[0].getsockname()[1]
        policy = FetchPolicy(timeout=30, proxy=f"http://{credentials}127.0.0.1:{port}")
        return await fetch_image(url, policy)


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://public.example/a?b=c", f"http://{PUBLIC}/a?b=c", "public.example"),
        ("http://public.example:8080/a", f"http://{PUBLIC}:8080/a", "public.example:8080"),
        ("http://b\u00fccher.example/", f"http://{PUBLIC}/", "xn--bcher-kva.example"),
        (f"http://{PUBLIC}/", f"http://{PUBLIC}/", PUBLIC),
    ],
)
async def test_the_proxy_gets_the_checked_address(url: str, line: str, host: str) -> None:
    proxy = Proxy()
    assert await fetch(proxy, url) == b"image"
    assert proxy.requests[0].startswith(f"GET {line} HTTP/1.1\r\n")
    assert f"Host: {host}\r\n" in proxy.requests[0]


async def test_a_tunnel_is_opened_to_the_checked_address_for_the_name() -> None:
    proxy = Proxy(TUNNEL)
    with pytest.raises(ImageFetchError):
        await fetch(proxy, "https://public.example/a")
    assert proxy.requests[0].startswith(f"CONNECT {PUBLIC}:443 HTTP/1.1\r\n")
    assert b"public.example" in proxy.hello  # the server's name in the TLS handshake


@pytest.mark.parametrize("url", ["http://private.example/", f"http://{PRIVATE}/"])
async def test_private_addresses_are_refused_before_the_proxy_is_asked(url: str) -> None:
    proxy = Proxy()
    with pytest.raises(ImageSourceError):
        await fetch(proxy, url)
    assert proxy.requests == []


async def test_a_redirect_to_a_private_address_is_refused() -> None:
    proxy = Proxy(REDIRECT)
    with pytest.raises(ImageSourceError):
        await fetch(proxy, "http://public.example/")
    assert len(proxy.requests) == 1


async def test_credentials_are_sent_to_the_proxy_only() -> None:
    proxy = Proxy()
    await fetch(proxy, "http://public.example/", credentials="user:secret@")
    expected = base64.b64encode(b"user:secret").decode()
    assert f"Proxy-Authorization: Basic {expected}\r\n" in proxy.requests[0]
    tunnel = Proxy(TUNNEL)
    with pytest.raises(ImageFetchError):
        await fetch(tunnel, "https://public.example/", credentials="user:secret@")
    assert f"Proxy-Authorization: Basic {expected}\r\n" in tunnel.requests[0]


async def test_a_proxy_that_refuses_is_a_failed_fetch() -> None:
    refusal = b"HTTP/1.1 403 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    for url in ("http://public.example/", "https://public.example/"):
        with pytest.raises(ImageFetchError):
            await fetch(Proxy(refusal), url)


def test_the_setting_is_checked_and_its_password_hidden() -> None:
    settings = load_settings(image_proxy="http://user:secret@proxy.internal:3128")
    assert FetchPolicy.from_settings(settings).proxy == "http://user:secret@proxy.internal:3128"
    assert "secret" not in repr(settings) + repr(FetchPolicy.from_settings(settings))
    for wrong in ("proxy:3128", "socks5://proxy:1080", "http://"):
        with pytest.raises(SettingsError, match="image_proxy"):
            load_settings(image_proxy=wrong)
