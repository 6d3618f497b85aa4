"""Debian's Chromium, one a package, and pages in it that must behave.

``PAGE_SCREENSHOTS=default`` talks to that model instead and writes the documentation's pictures.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.server import ServerProcess

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",  # which is not to be had as root in a container
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
ABSENT = "NOT TESTED: the page, as there is no Chromium (Debian: apt install chromium)."
SCREENSHOTS = os.environ.get("PAGE_SCREENSHOTS", "")

OpenPage = Callable[..., Page]

expect.set_options(timeout=60_000)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Nobody should believe that the page was tested when it was not."""
    if any(ABSENT in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(ABSENT, red=True, bold=True)


@pytest.fixture(scope="package")
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the page is; the session's shared service, unless pictures are to be taken."""
    if not SCREENSHOTS:
        yield request.getfixturevalue("server").url
        return
    process = ServerProcess(Path(SCREENSHOTS))
    try:
        yield process.start().url
    finally:
        process.stop()


# Not for the session: Playwright's event loop runs in this thread until it is stopped, and the
# asynchronous tests of other packages need one of their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium; without one the tests are skipped, but fail where ``CI`` is set."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(ABSENT)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=executable, args=[*FLAGS])


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Opens the page in a window of its own; the arguments are Playwright's for a context.

    Whatever a test does, the page must not raise, must not break its own policy and must not ask
    any other host for anything.
    """
    contexts, problems = [], []

    def heard(message: ConsoleMessage) -> None:
        # Refusals are what some tests are about; the browser mentions each.
        if message.type == "error" and "Failed to load resource" not in message.text:
            problems.append(message.text)

    def asked(request: Request, url: str) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            problems.append(f"asked for {request.url}")

    def open_at(url: str = address, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: asked(request, url))
        page.goto(url)
        expect(page.locator("#readiness-text")).to_have_text("Ready")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The page on a desk."""
    return open_page()
