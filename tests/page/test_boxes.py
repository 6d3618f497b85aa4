"""Boxes on the page: drawn over the picture, and dragged to ask what is inside."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.steps import CHAT, add, ask, png, turn

MODELS = "**/v1/models"
BOXES = [
    {"image": 0, "phrase": "a disc", "box": [16.0, 12.0, 48.0, 36.0]},
    {"image": 0, "phrase": None, "box": [0.0, 0.0, 64.0, 48.0]},
]
"""In pixels of the picture, which is 64 wide and 48 high."""


@pytest.fixture
def grounding(page: Page) -> Page:
    """The page of a service whose model answers with boxes."""

    def add_feature(route: Route) -> None:
        listed = route.fetch().json()
        for card in listed["data"]:
            card["features"].append("boxes")
        route.fulfill(json=listed)

    page.route(MODELS, add_feature)
    with page.expect_response(MODELS):
        page.reload()
    expect(page.locator("#readiness-text")).to_have_text("Ready")
    return page


def answer_with_boxes(page: Page) -> None:
    choice: dict[str, Any] = {"index": 0, "delta": {"content": "<p>a disc</p> {<25><25><75><75>}"}}
    chunk = {"choices": [{**choice, "finish_reason": "stop", "boxes": BOXES}]}
    events = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    page.route(CHAT, lambda route: route.fulfill(content_type="text/event-stream", body=events))


def test_boxes_are_drawn_over_the_picture_with_their_phrases(grounding: Page) -> None:
    answer_with_boxes(grounding)
    add(grounding, png())
    body = ask(grounding, "[detection] disc")
    assert body["media_io_kwargs"] == {"image": {"orientation": "exif"}}
    figure = turn(grounding).locator(".boxed")
    marks = figure.locator(".box")
    expect(marks).to_have_text(["a disc", "2"])
    image, first = figure.locator("img").bounding_box(), marks.first.bounding_box()
    assert image is not None
    assert first is not None
    assert first["x"] - image["x"] == pytest.approx(image["width"] / 4, abs=1)
    assert first["y"] - image["y"] == pytest.approx(image["height"] / 4, abs=1)
    assert first["width"] == pytest.approx(image["width"] / 2, abs=1)
    expect(figure.locator("figcaption")).to_have_text("a disc: 16, 12, 48, 36; Box 2: 0, 0, 64, 48")


def test_a_dragged_box_becomes_the_question(grounding: Page) -> None:
    add(grounding, png())
    image = grounding.locator("#gallery img")
    area = image.bounding_box()
    assert area is not None
    scale = min(area["width"] / 64, area["height"] / 48)
    left = area["x"] + (area["width"] - 64 * scale) / 2
    top = area["y"] + (area["height"] - 48 * scale) / 2
    grounding.mouse.move(left + 48 * scale, top + 36 * scale)
    grounding.mouse.down()
    grounding.mouse.move(left + 16 * scale, top + 24 * scale)
    grounding.mouse.up()
    expect(grounding.get_by_label("Question", exact=True)).to_have_value(
        re.compile(r"\[identify\] what is this \{<25><50><75><75>\}")
    )


def test_a_click_is_no_box(grounding: Page) -> None:
    add(grounding, png())
    before = grounding.get_by_label("Question", exact=True).input_value()
    grounding.locator("#gallery img").click()
    expect(grounding.get_by_label("Question", exact=True)).to_have_value(before)


def test_a_model_without_boxes_offers_no_dragging(page: Page) -> None:
    add(page, png())
    expect(page.locator("#gallery .selectable")).to_have_count(0)
