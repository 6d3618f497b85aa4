"""Actions on the page, and what the page shows after them."""

import json
from typing import Any

from playwright.sync_api import FilePayload, Locator, Page, Request, Route, expect

from tests.pictures import encoded, picture

CHAT = "**/v1/chat/completions"
PRESS_STOP = (
    "const send = document.getElementById('send'); window.pressed = send.textContent; send.click()"
)


def png(colour: str = "red") -> FilePayload:
    """Make a picture file for the file dialog."""
    return {
        "name": f"{colour}.png",
        "mimeType": "image/png",
        "buffer": encoded(picture(colour)),
    }


def add(page: Page, *files: FilePayload) -> None:
    """Add files with the browser's file dialog."""
    before = page.locator("#attachments li").count()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add pictures").click()
    chooser.value.set_files(list(files))
    expect(page.locator("#attachments li")).to_have_count(before + len(files))


def ask(page: Page, question: str) -> dict[str, Any]:
    """Type a question and send it; return the body of the request."""
    page.get_by_label("Question", exact=True).fill(question)
    with page.expect_request(CHAT) as sent:
        page.get_by_role("button", name="Ask", exact=True).click()
    return read_body(sent.value)


def read_body(request: Request) -> dict[str, Any]:
    """Parse the body of a request."""
    return json.loads(request.post_data or "")


def turn(page: Page, number: int = 1, state: str | None = "done") -> Locator:
    """Wait until the n-th turn has this state, and return the turn."""
    found = page.locator(".turn").nth(number - 1)
    if state:
        expect(found).to_have_attribute("data-state", state)
    return found


def answer_at_length(page: Page, tokens: int, at_once: int = 1) -> None:
    """Give every later answer exactly this number of tokens, unless it is stopped.

    Args:
        at_once: Number of answers that the engine writes. The page shows one of them; more answers
            make it slower.
    """

    def change(route: Route) -> None:
        body = read_body(route.request) | {"ignore_eos": True, "max_tokens": tokens, "n": at_once}
        route.continue_(post_data=json.dumps(body))

    page.route(CHAT, change)


def answer_with(page: Page, text: str) -> None:
    """Answer all later requests with this text, without the model."""
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    events = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    page.route(CHAT, lambda route: route.fulfill(content_type="text/event-stream", body=events))


def at_first_words(page: Page, action: str) -> None:
    """Run a script in the page when the next answer begins. From Python, it could be too late."""
    page.evaluate(
        f"""new MutationObserver((_, observer) => {{
          if (!document.querySelector(".turn[data-state=answering] .prose")?.textContent) return;
          observer.disconnect();
          {action};
        }}).observe(document.getElementById("turns"), {{ subtree: true, childList: true }})"""
    )
