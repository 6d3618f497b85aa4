"""Dropping, pasting, taking photos, and the examples."""

import base64

from playwright.sync_api import FilePayload, Page, expect

from tests.page.conftest import OpenPage
from tests.page.steps import add, ask, png, turn
from tests.pictures import encoded, picture

TRANSFER = """([name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  window.transfer = new DataTransfer();
  window.transfer.items.add(new File([bytes], name, { type }));
}"""


def prepare_transfer(page: Page) -> None:
    """Put a file into ``window.transfer``, for a paste or a drop."""
    file = png()
    data = base64.b64encode(file["buffer"]).decode()
    page.evaluate(TRANSFER, [file["name"], file["mimeType"], data])


def test_a_dropped_picture_is_added(page: Page) -> None:
    prepare_transfer(page)
    drag = "(type) => document.body.dispatchEvent(new DragEvent(type, { dataTransfer: window.transfer, bubbles: true, cancelable: true }))"
    page.evaluate(drag, "dragenter")
    expect(page.locator("body")).to_have_class("dragging")
    accepted = not page.evaluate(drag, "dragover")
    assert accepted, "the browser would open the file instead"
    page.evaluate(drag, "drop")
    expect(page.locator("#attachments img")).to_have_attribute("alt", "Picture 1: red.png")
    expect(page.locator("body")).not_to_have_class("dragging")


def test_a_pasted_picture_is_added_but_pasted_text_is_not(page: Page) -> None:
    prepare_transfer(page)
    paste = "document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: window.transfer, bubbles: true, cancelable: true }))"
    assert not page.evaluate(paste), "the page did not take the picture"
    expect(page.locator("#attachments li")).to_have_count(1)
    page.evaluate(
        "window.transfer = new DataTransfer(); window.transfer.setData('text/plain', 'x')"
    )
    assert page.evaluate(paste), "the page took text"
    expect(page.locator("#attachments li")).to_have_count(1)


def test_a_photo_is_taken_with_the_camera(page: Page) -> None:
    page.locator(".add-pictures").get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog", name="Take a photo")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Take the picture").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#attachments img")).to_have_attribute("alt", "Picture 1: photo.jpg")
    ask(page, "What is this?")
    turn(page)


def test_a_cancelled_photo_adds_nothing(page: Page) -> None:
    page.locator(".add-pictures").get_by_role("button", name="Take a photo").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#attachments li")).to_have_count(0)


def test_a_phone_opens_its_own_camera(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    with page.expect_file_chooser() as chooser:
        page.locator(".add-pictures").get_by_role("button", name="Take a photo").tap()
    assert chooser.value.element.get_attribute("capture") == "environment"


def test_a_picture_that_the_browser_cannot_show_is_still_sent(page: Page) -> None:
    tiff: FilePayload = {
        "name": "scan.tiff",
        "mimeType": "image/tiff",
        "buffer": encoded(picture(), "TIFF"),
    }
    add(page, tiff)
    expect(page.locator("#attachments .no-preview")).to_have_text("scan.tiff")
    ask(page, "What is this?")
    expect(turn(page).locator(".stats")).to_contain_text("32 image")


def test_every_example_can_be_added(page: Page) -> None:
    buttons = page.get_by_role("button", name="Example: ")
    expect(buttons.first).to_be_visible()
    count = buttons.count()
    assert count > 3
    for number in range(count):
        buttons.nth(number).click()
        expect(page.locator("#gallery img")).to_have_count(1)
        assert page.locator("#gallery img").evaluate("image => image.naturalWidth") > 0
        page.get_by_role("button", name="Remove picture 1").click()
