"""What the page does by itself, on a stand-in for the service: no model answers here."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Dialog, FilePayload, Page, expect

from service.api.middleware import waiting_page
from tests.page.conftest import OpenPage
from tests.page.stand_in import KEY, PICTURES, stand_in
from tests.page.steps import CHAT, add, ask, png, turn
from tests.pictures import encoded, picture

LOW = {"viewport": {"width": 1024, "height": 600}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page without a model."""
    with stand_in(tmp_path_factory.mktemp("model")) as url:
        yield url


@pytest.fixture
def page(open_page: OpenPage, alone: str) -> Page:
    """The page in a desktop window."""
    return open_page(alone)


def choose(page: Page, *files: FilePayload) -> None:
    """Choose files, without waiting for them to be added."""
    page.locator("#file-input").set_input_files(list(files))


def file(name: str, content: bytes) -> FilePayload:
    """A file whose type the browser takes from its name."""
    return {"name": name, "mimeType": "", "buffer": content}


def test_the_gauges_are_behind_one_word(page: Page) -> None:
    gauges = page.locator("#gauges")
    expect(gauges).to_be_hidden()
    button = page.get_by_role("button", name="Ready")
    button.click()
    expect(gauges).to_contain_text("In flight")
    expect(button).to_have_attribute("aria-expanded", "true")
    assert not Axe().run(page).response["violations"]
    page.keyboard.press("Escape")
    expect(gauges).to_be_hidden()
    button.click()
    page.mouse.click(640, 700)
    expect(gauges).to_be_hidden()


def test_on_a_phone_the_gauges_are_in_the_window(open_page: OpenPage, alone: str) -> None:
    page = open_page(alone, **PHONE)
    page.get_by_role("button", name="Ready").tap()
    box = page.locator("#gauges").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["viewport"]["width"]  # type: ignore[index]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_statistics_do_not_look_like_buttons(page: Page) -> None:
    ask(page, "Hello.")
    last = turn(page)
    style = "node => [getComputedStyle(node).borderTopWidth, getComputedStyle(node).fontSize]"
    button = last.get_by_role("button", name="Retry").evaluate(style)
    figure = last.locator(".stats span").first.evaluate(style)
    assert button[0] != "0px"
    assert figure[0] == "0px"
    assert figure[1] < button[1]
    actions, stats = last.locator(".actions").bounding_box(), last.locator(".stats").bounding_box()
    assert actions is not None
    assert stats is not None
    assert actions["y"] + actions["height"] <= stats["y"], "they share a line"


@pytest.mark.parametrize("way", ["Escape", "Cancel"])
def test_an_edit_can_be_cancelled(page: Page, way: str) -> None:
    add(page, png("red"))
    ask(page, "What is that?")
    turn(page)
    page.locator("#question").fill("A draft")
    add(page, png("blue"))
    turn(page).get_by_role("button", name="Edit").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#question")).to_have_value("What is that?")
    expect(page.locator("#attachments img")).to_have_count(2)
    page.get_by_role("button", name="Remove picture 1").click()
    if way == "Escape":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="Cancel (Esc)").click()
    expect(turn(page).locator(".prose")).to_have_text("An answer.")
    expect(turn(page).locator(".thumbs img")).to_have_js_property("naturalWidth", 64)
    expect(page.locator("#question")).to_have_value("A draft")
    expect(page.locator("#attachments img")).to_have_attribute("alt", "Picture 2: blue.png")
    expect(page.locator("#editing")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator(".turn")).to_have_count(1)
    assert len(ask(page, "And now?")["messages"]) == 3


def test_a_sent_edit_cannot_be_cancelled(page: Page) -> None:
    ask(page, "What is that?")
    turn(page).get_by_role("button", name="Edit").click()
    ask(page, "What is this?")
    turn(page)
    page.keyboard.press("Escape")
    expect(page.locator(".question")).to_have_text("QuestionWhat is this?")


@pytest.mark.parametrize("look", [{}, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("failed", [False, True], ids=["answered", "failed"])
def test_examples_and_buttons_stay_after_words_alone_and_after_an_error(
    open_page: OpenPage, alone: str, look: dict[str, Any], failed: bool
) -> None:
    page = open_page(alone, **look)
    if failed:
        page.route(CHAT, lambda route: route.abort())
        add(page, png())
    ask(page, "hi")
    turn(page, state="failed" if failed else "done")
    page.evaluate("scrollTo(0, 0)")
    expect(page.get_by_role("button", name="Example: ").first).to_be_in_viewport()
    expect(page.get_by_role("button", name="Choose a picture")).to_be_in_viewport()


@pytest.mark.parametrize("look", [LOW, {"viewport": {"width": 1280, "height": 600}}, PHONE])
def test_the_form_does_not_hide_the_buttons_that_add_a_picture(
    open_page: OpenPage, alone: str, look: dict[str, Any]
) -> None:
    page = open_page(alone, **look)
    expect(page.get_by_role("button", name="Example: ").first).to_be_visible()
    for name in ("Choose a picture", "Take a photo"):
        page.get_by_role("button", name=name).first.click(trial=True, timeout=5000)


def test_two_pictures_are_shown_whole_and_can_be_enlarged(page: Page) -> None:
    wide = file("wide.png", encoded(picture("red", (300, 60))))
    choose(page, wide, png("blue"))
    images = page.locator("#gallery img")
    expect(images).to_have_count(2)
    for place in ("#gallery", "#attachments"):
        fit = "all => all.map((image) => getComputedStyle(image).objectFit)"
        assert set(page.locator(f"{place} img").evaluate_all(fit)) == {"contain"}
    page.get_by_role("button", name="Enlarge picture 1").click()
    dialog = page.get_by_role("dialog", name=re.compile(r"wide\.png, 300 . 60"))
    box = dialog.get_by_role("img").bounding_box()
    assert box is not None
    assert box["width"] > 600
    assert not Axe().run(page).response["violations"]
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(images).to_have_count(2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", b"Hello", "notes.txt is not a picture that the service reads"),
        ("page.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a picture"),
        ("empty.png", b"", "is not a picture"),
        ("torn.png", b"\x89PNG\r\n\x1a\n torn", "torn.png is damaged"),
        ("large.png", b"\x89PNG\r\n\x1a\n" + bytes(200_000), "at most 100 kB"),
    ],
)
def test_a_file_that_is_not_a_picture_is_refused_at_once(
    page: Page, name: str, content: bytes, words: str
) -> None:
    choose(page, file(name, content), png())
    expect(page.locator("#notice")).to_contain_text(words)
    expect(page.locator("#attachments li")).to_have_count(1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format_of_the_service_is_taken(page: Page, kind: str) -> None:
    choose(page, file("picture.bin", encoded(picture(), kind)))
    expect(page.locator("#attachments li")).to_have_count(1)
    expect(page.locator("#notice")).to_be_hidden()


def test_pictures_beyond_the_limit_are_refused_at_once(page: Page) -> None:
    add(page, png("red"))
    ask(page, "What is this?")
    turn(page)
    choose(page, *[png(colour) for colour in ("green", "blue", "red")])
    expect(page.locator("#notice")).to_contain_text(f"at most {PICTURES} pictures")
    expect(page.locator("#notice")).to_contain_text("red.png was not added")
    expect(page.locator("#attachments li")).to_have_count(PICTURES - 1)


def test_a_reload_asks_before_the_conversation_is_lost(page: Page) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.once("dialog", stay)
    ask(page, "Hello.")
    turn(page)
    page.evaluate("setTimeout(() => location.reload())")
    page.wait_for_timeout(500)
    assert asked == ["beforeunload"]
    expect(page.locator(".turn")).to_have_count(1)
    page.get_by_role("button", name="New", exact=True).click()
    page.reload()
    assert len(asked) == 1, "nothing would be lost"


def test_a_wrong_key_is_called_wrong(
    open_page: OpenPage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with stand_in(tmp_path_factory.mktemp("model"), needs_key=True) as url:
        page = open_page(url)
        field = page.get_by_role("textbox", name="API key")
        expect(field).to_be_focused()
        field.fill("wrong")
        field.press("Enter")
        expect(page.locator("#notice")).to_have_text(
            "This API key is wrong: the service does not know it."
        )
        expect(field).to_have_attribute("aria-invalid", "true")
        field.fill(KEY)
        field.press("Enter")
        expect(field).to_be_hidden()
        expect(page.locator("#notice")).to_be_hidden()


def test_the_documentation_needs_no_other_host(page: Page, alone: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{alone}/docs")
    expect(page.get_by_text("/v1/chat/completions")).to_be_visible()
    assert all(url.startswith((alone, "data:", "blob:")) for url in asked), asked


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_starting_page_has_a_style_that_its_policy_allows(
    page: Page, alone: str, scheme: Any
) -> None:
    headers = {name.decode(): value.decode() for name, value in waiting_page.HEADERS}
    del headers["refresh"]
    body = waiting_page.PAGE.format(style=waiting_page.STYLE, state="starting", seconds=3)
    page.route("**/waiting", lambda route: route.fulfill(body=body, headers=headers))
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{alone}/waiting")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == {"light": "rgb(246, 244, 238)", "dark": "rgb(17, 22, 20)"}[scheme]
    assert not Axe().run(page).response["violations"]
