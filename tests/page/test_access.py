"""Accessibility: keyboard, screen reader, phones, light and dark colours.

With ``PAGE_SCREENSHOTS=default`` the tests also write the documentation's pictures.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.page.conftest import SCREENSHOTS, OpenPage
from tests.page.steps import add, answer_at_length, answer_with, ask, png, turn

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": PHONE,
    "phone-dark": {**PHONE, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 640}},
    "low": {"viewport": {"width": 1024, "height": 600}},
}
# File name by step and look.
PICTURES = {
    ("start", "light"): "page-start.png",
    ("answer", "light"): "page.png",
    ("answer", "dark"): "page-dark.png",
}


class Look:
    """Checks the page with axe and its width, and takes a screenshot if one is needed."""

    def __init__(self, page: Page, name: str) -> None:
        self._page, self._name = page, name

    def __call__(self, step: str) -> None:
        self._page.mouse.move(0, 0)
        assert self._page.evaluate("document.documentElement.scrollWidth <= innerWidth"), step
        found = Axe().run(self._page).response["violations"]
        assert not [(rule["id"], rule["nodes"][0]["target"]) for rule in found], step
        picture = PICTURES.get((step, self._name))
        if SCREENSHOTS and picture:
            self._page.screenshot(path=IMAGES / picture, animations="disabled", caret="hide")


@pytest.mark.parametrize("name", LOOKS)
def test_a_conversation_looks_right(open_page: OpenPage, name: str) -> None:
    page = open_page(**LOOKS[name])
    look = Look(page, name)
    expect(page.get_by_role("button", name="Example: ").first).to_be_visible()
    for image in page.locator("#example-list img").all():
        expect(image).to_have_js_property("complete", True)
    look("start")
    page.get_by_role("button", name="Example: Stop among shapes").click()
    expect(page.locator("#gallery img")).to_be_visible()
    look("picture")
    page.get_by_role("button", name="Describe this image in detail.").click()
    turn(page)
    ask(page, "What is written?")
    turn(page, 2)
    ask(page, "Is the blue circle above the black cross?")
    turn(page, 3)
    expect(page.locator("#status-in-flight")).to_have_text("0")
    look("answer")
    page.get_by_role("button", name="Code", exact=True).last.click()
    look("code")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Sampling").click()
    page.get_by_role("button", name="API key").click()
    look("controls")


@pytest.mark.parametrize("name", ["light", "dark"])
def test_errors_code_and_two_pictures_are_accessible(open_page: OpenPage, name: str) -> None:
    page = open_page(**LOOKS[name])
    answer_with(page, "# Title\n\n- a\n- b\n\n> quoted\n\n```\ncode\n```\n\nand `code`")
    add(page, png("red"), png("blue"))
    ask(page, "What is this?")
    turn(page)
    page.unroute("**/v1/chat/completions")
    page.route("**/v1/chat/completions", lambda route: route.abort())
    ask(page, "What is that?")
    turn(page, 2, "failed")
    found = Axe().run(page).response["violations"]
    assert not [(rule["id"], rule["nodes"][0]["target"]) for rule in found]


def test_a_whole_conversation_by_keyboard_alone(page: Page) -> None:
    def press_until(name: str, key: str = "Tab") -> None:
        focused = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim() || document.activeElement.id"
        for _ in range(60):
            page.keyboard.press(key)
            if re.match(name, page.evaluate(focused)):
                return
        pytest.fail(f"{name} cannot be reached with {key}")

    press_until("Example: Go with triangles")
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.press("Enter")
    turn(page)
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("First line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    page.keyboard.press("Enter")
    turn(page, 2)
    expect(turn(page, 2).locator(".question")).to_contain_text("First line\nsecond line")
    press_until("Retry", "Shift+Tab")
    page.keyboard.press("Enter")
    turn(page, 2)
    press_until("API key", "Shift+Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("textbox", name="API key")).to_be_focused()


def test_the_first_tab_skips_the_bar(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the question")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()


def test_a_screen_reader_hears_each_sentence_once(page: Page) -> None:
    log = page.get_by_role("log")
    answer_with(page, "One sentence. Another one! And a rest")
    ask(page, "Hello.")
    turn(page)
    expect(log.locator("p")).to_have_text(
        ["Answering.", "One sentence.", "Another one!", "And a rest", "Answer complete."]
    )
    expect(page.locator(".prose")).not_to_have_attribute("aria-live", re.compile(".*"))


def test_a_screen_reader_finds_regions_headings_and_images(page: Page) -> None:
    add(page, png("red"), png("blue"))
    answer_at_length(page, 5)
    ask(page, "What are these?")
    turn(page)
    roles: list[tuple[Any, str | None]] = [
        ("banner", None),
        ("main", None),
        ("region", "Status of the service"),
        ("button", "Ready"),
        ("region", "Pictures"),
        ("region", "Conversation"),
        ("form", "Your question"),
        ("heading", "MiniGPT-4"),
        ("heading", "Question"),
        ("heading", "Answer"),
        ("button", "Copy"),
    ]
    for role, name in roles:
        expect(page.get_by_role(role, name=name, exact=True).first).to_be_attached()
    expect(page.locator("#gallery").get_by_role("img")).to_have_count(2)
    expect(page.get_by_role("img", name="Picture 2: blue.png").first).to_be_attached()


def test_on_a_phone_all_controls_are_in_view(open_page: OpenPage) -> None:
    page = open_page(**PHONE)
    for control in ("Choose a picture", "Take a photo", "Ask"):
        expect(page.get_by_role("button", name=control, exact=True).first).to_be_in_viewport()
    page.get_by_role("button", name="Example: ").first.tap()
    expect(page.locator("#attachments li")).to_have_count(1)
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_in_viewport()
    page.get_by_role("button", name="Ask", exact=True).tap()
    turn(page)
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_in_viewport()
    expect(turn(page).locator(".thumbs img")).to_have_count(1)
    small = page.evaluate(
        """[...document.querySelectorAll("button, input, select, textarea")]
          .map((node) => [node.textContent || node.id, node.getBoundingClientRect()])
          .filter(([, box]) => box.width && (box.width < 24 || box.height < 24))
          .map(([name]) => name)"""
    )
    assert not small, "these controls are too small for a finger"
