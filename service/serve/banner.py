"""Messages for the person at the terminal while the service starts and stops."""

import argparse
import logging
import sys
from contextlib import suppress

from service.observability.logs import ROOT, TERMINAL

# A red disc at the top left and a blue square at the bottom right, 64 x 64.
EXAMPLE_IMAGE = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAgMAAADXB5lNAAAADFBMVEX////cHh4eUNwAAAA5It7rAAAAX0lEQVR42u3S"
    "sQ2AIBBG4QdhABr3YQTndAqmcA56SY6W34LiYmGMr7sPrjvwtO3zlAhFniMJikCGLFAgCdyKAQjLHw4wwNYrFbpAgybQ"
    "oQpYvfh7ffM1HcD5yEl9CBwN9lQNJP2IVPYAAAAASUVORK5CYII="
)


def say(text: str) -> None:
    """Print one message to standard error, or log it where logging is configured.

    A closed terminal must not end the service.
    """
    if logging.getLogger(ROOT).handlers:
        logging.getLogger(TERMINAL).info(text)
        return
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def banner(arguments: argparse.Namespace, page: bool) -> str:
    """The address and a curl line to paste; ``page`` says whether the address serves the page."""
    scheme = "https" if arguments.ssl_certfile else "http"
    every = (None, "", "0.0.0.0", "::")  # noqa: S104
    host = "127.0.0.1" if arguments.host in every else arguments.host
    host = f"[{host}]" if ":" in host else host
    address = f"{scheme}://{host}:{arguments.port}"
    browser = "open it in a browser; " if page else ""
    return (
        f"Ready: {address}  ({browser}API at {address}/v1, documentation at {address}/docs)\n"
        "Try it:\n"
        f"  curl {address}/v1/chat/completions -H 'Content-Type: application/json' -d "
        '\'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": '
        f'"{EXAMPLE_IMAGE}"}}}}, {{"type": "text", "text": "What is in this image?"}}]}}]}}\''
    )
