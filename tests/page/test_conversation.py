"""Streaming, stopping, retrying, editing, follow-up questions, several pictures."""

import re
from itertools import pairwise

import httpx
from playwright.sync_api import Page, expect

from tests.page.steps import (
    CHAT,
    PRESS_STOP,
    add,
    answer_at_length,
    answer_with,
    ask,
    at_first_words,
    png,
    read_body,
    turn,
)

RECORD_LENGTHS = """() => {
  window.lengths = [];
  new MutationObserver(() => {
    const { length } = document.querySelector(".prose")?.textContent ?? "";
    if (length !== window.lengths.at(-1)) window.lengths.push(length);
  }).observe(document.getElementById("turns"), { subtree: true, childList: true, characterData: true
  });
}"""


def metric(address: str, name: str) -> float:
    """Return the sum of a metric over its labels."""
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


def test_two_clicks_from_the_start_to_an_answer(page: Page) -> None:
    page.get_by_role("button", name="Example: ").first.click()
    expect(page.locator("#question")).to_have_value("Describe this image in detail.")
    with page.expect_request(CHAT) as sent:
        page.get_by_role("button", name="Ask", exact=True).click()
    image, text = read_body(sent.value)["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert text == {"type": "text", "text": "Describe this image in detail."}
    assert turn(page).locator(".prose").inner_text().strip()


def test_the_answer_streams_in_and_has_statistics(page: Page) -> None:
    page.evaluate(RECORD_LENGTHS)
    answer_at_length(page, 1000)
    add(page, png())
    ask(page, "What is this?")
    stats = turn(page).locator(".stats")
    lengths = page.evaluate("window.lengths")
    assert len(lengths) > 5, "the answer did not arrive in pieces"
    # Marks of Markdown vanish from the text when their pair is complete.
    assert all(after > before - 8 for before, after in pairwise(lengths))
    assert lengths[-1] > max(lengths) // 2
    for pattern in (r"first token \d+", r"\d+ tokens/s", r"tokens in \(32 image", r"1000 out"):
        expect(stats).to_have_text(re.compile(pattern))
    expect(stats).to_contain_text("ended at the length limit")


def test_stop_keeps_the_partial_answer_and_frees_the_engine(page: Page, address: str) -> None:
    before = metric(address, "vllm:generation_tokens_total")
    answer_at_length(page, 1800, at_once=8)
    add(page, png())
    at_first_words(page, PRESS_STOP)
    ask(page, "Tell me a long story.")
    stopped = turn(page, state="stopped")
    assert page.evaluate("window.pressed") == "Stop"
    expect(stopped.locator(".prose")).not_to_be_empty()
    expect(stopped.locator(".stats")).to_contain_text("stopped by you")
    while metric(address, "vllm:num_requests_running"):
        page.wait_for_timeout(50)
    written = metric(address, "vllm:generation_tokens_total") - before
    assert written < 8 * 1800, "the engine did not stop"


def test_escape_stops_too(page: Page) -> None:
    answer_at_length(page, 1800, at_once=8)
    escape = "new KeyboardEvent('keydown', { key: 'Escape', bubbles: true })"
    at_first_words(page, f"document.activeElement.dispatchEvent({escape})")
    ask(page, "Tell me a long story.")
    turn(page, state="stopped")


def test_retry_sends_the_same_request_again(page: Page) -> None:
    add(page, png())
    first = ask(page, "What is this?")
    with page.expect_request(CHAT) as sent:
        turn(page).get_by_role("button", name="Retry").click()
    assert read_body(sent.value) == first
    turn(page)
    expect(page.locator(".turn")).to_have_count(1)


def test_an_edited_question_replaces_the_last_turn(page: Page) -> None:
    add(page, png())
    ask(page, "What is that?")
    turn(page).get_by_role("button", name="Edit").click()
    body = ask(page, "What colour is that?")
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert len(body["messages"][0]["content"]) == 2


def test_a_follow_up_contains_the_image_and_the_answer(page: Page) -> None:
    add(page, png())
    first = ask(page, "What is this?")["messages"][0]
    turn(page)
    messages = ask(page, "What colour is it?")["messages"]
    assert messages[0] == first
    assert messages[1]["role"] == "assistant"
    assert messages[1]["content"]
    assert messages[2] == {"role": "user", "content": "What colour is it?"}
    expect(turn(page, 2).locator(".stats")).to_contain_text("32 image")


def test_a_follow_up_contains_a_stopped_answer(page: Page) -> None:
    answer_at_length(page, 1800, at_once=8)
    at_first_words(page, PRESS_STOP)
    ask(page, "Tell me a long story.")
    turn(page, state="stopped")
    answer_at_length(page, 4)
    messages = ask(page, "And then?")["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"]
    turn(page, 2)


def test_two_pictures_are_numbered_and_sent_in_order(page: Page) -> None:
    add(page, png("red"), png("blue"))
    expect(page.locator("#attachments .number")).to_have_text(["1", "2"])
    expect(page.get_by_role("button", name="Which picture has more objects?")).to_be_visible()
    expect(page.get_by_role("button", name="How many objects are there?")).to_be_hidden()
    content = ask(page, "What is different?")["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]
    assert content[0] != content[1]
    expect(turn(page).locator(".stats")).to_contain_text("64 image")


def test_a_removed_picture_is_not_sent(page: Page) -> None:
    add(page, png("red"), png("blue"))
    page.get_by_role("button", name="Remove picture 1").click()
    expect(page.locator("#attachments img")).to_have_attribute("alt", "Picture 1: blue.png")
    assert len(ask(page, "What is this?")["messages"][0]["content"]) == 2
    turn(page)


def test_a_suggestion_is_sent_at_once_and_keeps_the_typed_text(page: Page) -> None:
    add(page, png())
    page.locator("#question").fill("My own thought")
    with page.expect_request(CHAT) as sent:
        page.get_by_role("button", name="How many objects are there?").click()
    assert (
        read_body(sent.value)["messages"][0]["content"][1]["text"] == "How many objects are there?"
    )
    expect(page.locator("#question")).to_have_value("My own thought")
    turn(page)


def test_new_removes_turns_and_pictures(page: Page) -> None:
    add(page, png())
    ask(page, "What is this?")
    turn(page)
    page.get_by_role("button", name="New", exact=True).click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#gallery li")).to_have_count(0)
    assert len(ask(page, "Hello.")["messages"]) == 1
    turn(page)


def test_the_models_text_is_never_parsed_as_html(page: Page) -> None:
    text = (
        "<img src=x onerror=alert(1)> <b>raw</b> **bold** *italic* `code`\n\n"
        "- one\n- two\n\n[here](javascript:alert(1)) ![](https://example.com/x.png)\n\n"
        "```\n<script>alert(1)</script>\n```\n"
    )
    answer_with(page, text)
    ask(page, "Hello.")
    prose = turn(page).locator(".prose")
    tags = prose.evaluate("node => [...node.querySelectorAll('*')].map((each) => each.localName)")
    assert sorted(tags) == sorted(
        ["p", "strong", "em", "code", "ul", "li", "li", "p", "pre", "code"]
    )
    for literal in ("<img src=x onerror=alert(1)>", "[here](javascript:", "<script>alert(1)"):
        expect(prose).to_contain_text(literal)


def test_a_new_conversation_may_start_during_an_answer(page: Page) -> None:
    answer_at_length(page, 1800, at_once=8)
    at_first_words(page, "document.getElementById('new').click()")
    ask(page, "Tell me a long story.")
    expect(page.locator(".turn")).to_have_count(0)
    answer_at_length(page, 4)
    assert len(ask(page, "Hello.")["messages"]) == 1
    turn(page)
