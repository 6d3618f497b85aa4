"""One Chromium for all tests of this package, and pages in it.

With ``PAGE_SCREENSHOTS=default`` the tests use that model and write the documentation's pictures.
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
    "--no-sandbox",  # the sandbox does not work for root in a container
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
ABSENT = "NOT TESTED: the page, because Chromium is missing (Debian: apt install chromium)."
SCREENSHOTS = os.environ.get("PAGE_SCREENSHOTS", "")

OpenPage = Callable[..., Page]

expect.set_options(timeout=60_000)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly that the page was not tested."""
    if any(ABSENT in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(ABSENT, red=True, bold=True)


@pytest.fixture(scope="package")
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of the page, on the session's service or on one for the documentation's pictures."""
    if not SCREENSHOTS:
        yield request.getfixturevalue("server").url
        return
    process = ServerProcess(Path(SCREENSHOTS))
    try:
        yield process.start().url
    finally:
        process.stop()


# The scope is not the session: Playwright runs an event loop in this thread until it is stopped,
# but the asynchronous tests of other packages need their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium. Without one, the tests are skipped; if ``CI`` is set, they fail."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(ABSENT)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=executable, args=[*FLAGS])


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Open the page in a new window; the arguments are those of a Playwright context.

    In every test, the page must not raise, must not violate its own policy and must not send a
    request to another host.
    """
    contexts, problems = [], []

    def check_message(message: ConsoleMessage) -> None:
        # Some tests provoke error responses, and the browser logs each of them.
        if message.type == "error" and "Failed to load resource" not in message.text:
            problems.append(message.text)

    def check_request(request: Request, url: str) -> None:
        if not request.url.startswith((url, "data:", "blob:")):
            problems.append(f"requested {request.url}")

    def open_at(url: str = address, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", check_message)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: check_request(request, url))
        page.goto(url)
        expect(page.locator("#readiness-text")).to_have_text("Ready")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The page in a desktop window."""
    return open_page()
