"""Which sources the service reads and which it refuses."""

import base64
import re
import socket
import tracemalloc
from typing import Any
from urllib.parse import quote

import pytest

from service.errors import (
    ImageError,
    ImageFetchError,
    ImageFormatError,
    ImageSourceError,
    ImageTooLargeError,
)
from service.images.addresses import check_url
from service.images.dns import CheckedResolver
from service.images.fetch_policy import FetchPolicy
from service.images.sources import read_source
from tests.pictures import data_uri

PUBLIC_ONLY = FetchPolicy(timeout=2, max_bytes=1000)

HOSTILE_URLS = [
    "http://127.0.0.1/",
    "http://127.0.0.1:8000/metrics",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[64:ff9b:1:7f00:0:100::]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::ffff:0:a9fe:a9fe]/",
    "http://[fec0::1]/",
    "http://[feff:ffff::1]/",
    "http://168.63.129.16/machine/?comp=goalstate",
    "http://[::ffff:168.63.129.16]/",
    "http://[64:ff9b::a83f:8110]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25lo]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/",
    "http://100.100.100.200/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://192.0.0.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://user@127.0.0.1/",
    "http://example.com@127.0.0.1/",
    "http://user:password@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http:\\\\127.0.0.1/",
    "http://127.0.0.1 .example.com/",
    "http://example.com\t/",
    "http://example.com\r\nHost: internal/",
    "http://example.com:99999/",
    "http://[::1/",
    "http:///etc/passwd",
    "http:127.0.0.1",
    "https://",
    "HTTP://127.0.0.1/",
    "ftp://example.com/a.png",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "//127.0.0.1/a.png",
    "",
]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Collect the addresses that a fetch tries to connect to, and fail every attempt."""
    attempted: list[object] = []

    async def connect(addr_infos: list[tuple[Any, ...]], **_: object) -> None:
        attempted.extend(info[4][0] for info in addr_infos)
        raise OSError("not in a test")

    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", connect)
    return attempted


@pytest.mark.parametrize("url", HOSTILE_URLS)
async def test_hostile_addresses_are_refused_before_a_connection(
    url: str, connections: list[object]
) -> None:
    with pytest.raises((ImageSourceError, ImageFetchError)) as refusal:
        await read_source(url, PUBLIC_ONLY)
    assert connections == []
    assert "127.0.0.1" not in str(refusal.value)


def fake_dns(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Make ``getaddrinfo`` give these answers in turn; return the list of names it is asked for."""
    asked: list[str] = []
    remaining = list(answers)

    def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        addresses = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.1.2.3"], ["93.184.216.34", "127.0.0.1"], ["169.254.169.254"]]
)
async def test_a_name_that_resolves_to_an_internal_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    fake_dns(monkeypatch, addresses)
    with pytest.raises(ImageSourceError):
        await CheckedResolver(PUBLIC_ONLY).resolve("images.example.com", 80, socket.AF_INET)


async def test_a_name_is_resolved_only_once(
    monkeypatch: pytest.MonkeyPatch, connections: list[object]
) -> None:
    """With DNS rebinding, a second lookup would give an internal address."""
    asked = fake_dns(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    with pytest.raises(ImageFetchError, match="reached"):
        await read_source("http://rebinding.example.com/a.png", PUBLIC_ONLY)
    assert asked == ["rebinding.example.com"]
    assert set(connections) == {"93.184.216.34"}


def test_with_an_allow_list_other_hosts_are_refused() -> None:
    policy = FetchPolicy(allowed_hosts=frozenset({"images.example.com"}))
    assert check_url("https://images.example.com/a.png", policy).host == "images.example.com"
    assert check_url("https://IMAGES.example.com./a.png", policy)
    for url in (
        "https://example.com/",
        "https://images.example.com.evil.net/",
        "https://evil.net/images.example.com",
        "https://93.184.216.34/",
    ):
        with pytest.raises(ImageSourceError):
            check_url(url, policy)


ALPHABET = base64.b64decode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
"""Bytes whose base64 uses every character of the alphabet."""


async def test_data_uris_are_decoded() -> None:
    assert await read_source(data_uri(b"abc"), PUBLIC_ONLY) == b"abc"
    assert await read_source("DATA:;charset=x;BASE64,YWJj", PUBLIC_ONLY) == b"abc"
    escaped = "data:;base64," + quote(base64.b64encode(ALPHABET + b"a"), safe="")
    assert {"%2B", "%2F", "%3D"} <= set(re.findall("%..", escaped))
    assert await read_source(escaped, PUBLIC_ONLY) == ALPHABET + b"a"
    assert await read_source(escaped.replace("%2B", "%2b"), PUBLIC_ONLY) == ALPHABET + b"a"


@pytest.mark.parametrize("escape", ["%41", "%zz", "%", "%25"])
async def test_escapes_need_memory_in_proportion_to_the_text(escape: str) -> None:
    uri = "data:;base64," + escape * 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(ImageFormatError):
            await read_source(uri, FetchPolicy())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(uri)


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("data:image/png;base64", ImageSourceError),
        ("data:image/png,abc", ImageSourceError),
        ("data:image/png;base64,ab*d", ImageFormatError),
        ("data:image/png;base64,abcde", ImageFormatError),
        ("data:image/png;base64,äöü=", ImageFormatError),
        (data_uri(b"x" * 1001), ImageTooLargeError),
        (data_uri(b"x" * 100_000), ImageTooLargeError),
    ],
)
async def test_bad_data_uris_are_refused(uri: str, error: type[ImageError]) -> None:
    with pytest.raises(error):
        await read_source(uri, PUBLIC_ONLY)


PACKED = bytes(range(256)) * 2
STANDARD = base64.b64encode(PACKED).decode()
URL_SAFE = base64.urlsafe_b64encode(PACKED).decode()


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{STANDARD}",
        f"data:image/jpg;base64,{URL_SAFE}",
        f"data:;base64,{STANDARD.rstrip('=')}",
        "data:image/png;base64," + "\n".join(STANDARD[i : i + 76] for i in range(0, 700, 76)),
        "data:image/png;base64," + "\r\n".join(STANDARD[i : i + 76] for i in range(0, 700, 76)),
        STANDARD,
        URL_SAFE.rstrip("="),
    ],
    ids=lambda url: ascii(url[:100]),
)
async def test_every_common_form_of_base64_is_read(url: str) -> None:
    assert await read_source(url, PUBLIC_ONLY) == PACKED


@pytest.mark.parametrize("url", ["picture.png", "AAAA", "/etc/passwd", "A" * 63, "ä" * 100, ""])
async def test_what_is_not_clearly_base64_is_not_taken_for_it(url: str) -> None:
    with pytest.raises(ImageSourceError):
        await read_source(url, PUBLIC_ONLY)


async def test_a_bare_text_is_bounded_and_may_be_broken() -> None:
    with pytest.raises(ImageTooLargeError):
        await read_source(base64.b64encode(bytes(5000)).decode(), PUBLIC_ONLY)
    with pytest.raises(ImageFormatError):
        await read_source("A" * 65, PUBLIC_ONLY)
