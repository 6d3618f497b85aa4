"""The page that a browser shows while the service is not ready. It reloads itself."""

from base64 import b64encode
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.types import Scope, Send

SECONDS = 3

# The colours are those of static/styles/base.css. The page's own files are not served yet.
STYLE = """
:root { color-scheme: light dark }
body { margin: 0; background: light-dark(#f6f4ee, #111614); color: light-dark(#1b2421, #e8edea) }
main {
  min-height: 100vh; display: grid; place-content: center; justify-items: center;
  gap: .75rem; padding: 1.5rem; box-sizing: border-box; text-align: center;
  font: 100%/1.55 Inter, system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
}
h1 { margin: 0; font-size: clamp(1.5rem, 1.1rem + 2vw, 2.25rem); letter-spacing: -.02em }
p { margin: 0; max-width: 34rem; color: light-dark(#57625d, #a3b0aa) }
.wait {
  width: 2.25rem; height: 2.25rem; border-radius: 50%; animation: turn 1s linear infinite;
  border: 3px solid light-dark(#d9d4c6, #303a36); border-top-color: light-dark(#0b5d52, #7ad6c4);
}
@keyframes turn { to { transform: rotate(1turn) } }
@media (prefers-reduced-motion: reduce) { .wait { animation: none } }
"""
STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"refresh", b"%d" % SECONDS),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
]
PAGE = """<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>MiniGPT-4</title>
<style>{style}</style>
<main>
<div class="wait"></div>
<h1>The service is {state}.</h1>
<p>This page reloads every {seconds} seconds and shows the service as soon as it is ready.</p>
</main>
"""


def is_from_browser(scope: Scope) -> bool:
    """Return whether a browser opens a page: a browser accepts HTML first, a program does not."""
    accept = Headers(scope=scope).get("accept", "")
    return scope["method"] == "GET" and accept.lower().startswith("text/html")


async def send_waiting_page(send: Send, state: str, retry_after: int) -> None:
    """Send the page with status 503, so that no program takes it for the service."""
    body = PAGE.format(style=STYLE, state=state, seconds=SECONDS).encode()
    headers = [
        *HEADERS,
        (b"retry-after", b"%d" % retry_after),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
