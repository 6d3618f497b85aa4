"""The page that a browser shows while the service is not ready. It reloads itself."""

from starlette.datastructures import Headers
from starlette.types import Scope, Send

SECONDS = 3

HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"refresh", b"%d" % SECONDS),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
]
PAGE = """<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>MiniGPT-4</title>
<h1>The service is {state}.</h1>
<p>This page reloads every {seconds} seconds and shows the service as soon as it is ready.</p>
"""


def is_from_browser(scope: Scope) -> bool:
    """Whether a browser opens a page: browsers accept HTML first, programs JSON or anything."""
    accept = Headers(scope=scope).get("accept", "")
    return scope["method"] == "GET" and accept.lower().startswith("text/html")


async def send_waiting_page(send: Send, state: str, retry_after: int) -> None:
    """Send the page with status 503, so that no program takes it for the service."""
    body = PAGE.format(state=state, seconds=SECONDS).encode()
    headers = [
        *HEADERS,
        (b"retry-after", b"%d" % retry_after),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
