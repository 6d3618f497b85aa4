"""Errors are explained with the server's message and do not block the next question."""

from playwright.sync_api import FilePayload, Page, Route, expect

from tests.page.steps import CHAT, add, ask, png, turn

DAMAGED: FilePayload = {
    "name": "torn.tiff",
    "mimeType": "image/tiff",
    "buffer": b"II*\0 torn",
}


def test_a_picture_that_the_service_refuses_shows_an_error(page: Page) -> None:
    """The browser cannot show this format, so only the service finds out."""
    add(page, DAMAGED)
    ask(page, "What is this?")
    alert = turn(page, state="failed").get_by_role("alert")
    expect(alert).to_contain_text("The service did not accept this request.")
    expect(alert).to_contain_text("image")
    expect(page.locator("#gallery li")).to_have_count(0)
    messages = ask(page, "Hello?")["messages"]
    assert messages == [{"role": "user", "content": "Hello?"}]
    turn(page, 2)


def test_a_refused_picture_can_be_replaced(page: Page) -> None:
    add(page, DAMAGED)
    ask(page, "What is this?")
    turn(page, state="failed").get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Remove picture 1").click()
    add(page, png())
    ask(page, "What is this?")
    turn(page)


def test_after_a_connection_error_the_question_can_be_sent_again(page: Page) -> None:
    page.route(CHAT, lambda route: route.abort())
    ask(page, "Hello.")
    failed = turn(page, state="failed")
    expect(failed.get_by_role("alert")).to_contain_text("The service could not be reached.")
    page.unroute(CHAT)
    failed.get_by_role("button", name="Retry").click()
    expect(turn(page).get_by_role("alert")).to_have_count(0)


def test_an_answer_that_breaks_off_is_a_failure(page: Page) -> None:
    def cut(route: Route) -> None:
        chunk = 'data: {"choices": [{"index": 0, "delta": {"content": "Half"}}]}\n\n'
        route.fulfill(content_type="text/event-stream", body=chunk)

    page.route(CHAT, cut)
    ask(page, "Hello.")
    failed = turn(page, state="failed")
    expect(failed.locator(".prose")).to_have_text("Half")
    expect(failed.get_by_role("alert")).to_contain_text("closed before the end of the answer")


def test_an_overloaded_service_says_when_to_try_again(page: Page) -> None:
    refusal = {"error": {"message": "The queue is full.", "type": "x", "param": None, "code": 503}}
    page.route(
        CHAT, lambda route: route.fulfill(status=503, json=refusal, headers={"Retry-After": "7"})
    )
    ask(page, "Hello.")
    alert = turn(page, state="failed").get_by_role("alert")
    for words in ("cannot accept requests right now", "The queue is full.", "again in 7 s"):
        expect(alert).to_contain_text(words)


def test_the_strip_shows_when_the_service_is_unreachable(page: Page) -> None:
    page.route("**/ready", lambda route: route.abort())
    expect(page.locator("#readiness-text")).to_have_text("Unreachable")
    page.unroute("**/ready")
    expect(page.locator("#readiness-text")).to_have_text("Ready")
