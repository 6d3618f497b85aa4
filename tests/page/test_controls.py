"""Sampling, code, export, API keys and the status strip."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.model_folder.layout import ModelFolder
from tests.page.conftest import OpenPage
from tests.page.steps import add, ask, png, turn
from tests.server import ServerProcess

KEY = "correct-horse"


def copy_answer(page: Page) -> str:
    """Return the text of the first answer, read with its Copy button."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = turn(page).get_by_role("button", name=re.compile("Cop"))
    button.click()
    expect(button).to_have_text("Copied")
    return page.evaluate("navigator.clipboard.readText()")


def test_sampling_is_hidden_at_first_and_sent_only_when_set(page: Page) -> None:
    expect(page.get_by_label("Temperature")).to_be_hidden()
    assert set(ask(page, "Hello.")) == {"model", "messages", "stream", "stream_options"}
    turn(page)
    button = page.get_by_role("button", name="Sampling")
    button.click()
    expect(page.get_by_label("Temperature")).to_be_focused()
    expect(page.get_by_label("Temperature")).to_have_attribute("placeholder", "1")
    expect(page.get_by_label("Maximum new tokens")).to_have_attribute("placeholder", "300")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Maximum new tokens").fill("5")
    page.get_by_label("Seed").fill("7")
    expect(button).to_have_text("Sampling (3 set)")
    body = ask(page, "Hello.")
    assert {name: body[name] for name in ("temperature", "max_tokens", "seed")} == {
        "temperature": 0,
        "max_tokens": 5,
        "seed": 7,
    }
    expect(turn(page, 2).locator(".stats")).to_contain_text("5 out")
    page.get_by_role("button", name="Reset to defaults").click()
    expect(button).to_have_text("Sampling")


def test_an_invalid_value_is_shown_and_not_sent(page: Page) -> None:
    page.get_by_role("button", name="Sampling").click()
    page.get_by_label("Temperature").fill("9")
    page.get_by_role("button", name="Sampling").click()
    page.locator("#question").fill("Hello.")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_label("Temperature")).to_be_focused()
    expect(page.locator(".turn")).to_have_count(0)


def test_beam_search_shows_the_best_beam(page: Page) -> None:
    page.get_by_role("button", name="Sampling").click()
    page.get_by_label("Beams").fill("2")
    page.get_by_label("Maximum new tokens").fill("6")
    add(page, png())
    body = ask(page, "What is this?")
    assert (body["use_beam_search"], body["n"]) == (True, 2)
    expect(turn(page).locator(".prose")).not_to_be_empty()


@pytest.mark.parametrize("language", ["curl", "Python"])
def test_the_code_is_the_same_request(page: Page, tmp_path: Path, language: str) -> None:
    page.get_by_role("button", name="Sampling").click()
    page.get_by_label("Maximum new tokens").fill("5")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Repetition penalty").fill("1.1")
    add(page, png())
    ask(page, """What's "this", $HOME, `ls` or \\n?""")
    answer = copy_answer(page)
    turn(page).get_by_role("button", name="Code").click()
    dialog = page.get_by_role("dialog", name="The same request as code")
    with page.expect_download() as saved:
        dialog.get_by_role("link", name="red.png").click()
    saved.value.save_as(tmp_path / "red.png")
    code = dialog.locator(f"#code-{language.lower()}").inner_text()
    command = ["bash", "-c", code] if language == "curl" else [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    text = done.stdout.removesuffix("\n")
    if language == "curl":
        text = json.loads(text)["choices"][0]["message"]["content"]
    assert text == answer


def test_the_code_is_available_before_the_first_question(page: Page) -> None:
    page.get_by_role("button", name="Code", exact=True).click()
    expect(page.locator("#code-curl")).to_contain_text("Describe this image in detail.")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy curl").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl http")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_exported_messages_can_be_sent_again(page: Page, address: str, tmp_path: Path) -> None:
    add(page, png())
    ask(page, "What is this?")
    turn(page)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export").click()
    assert re.fullmatch(r"conversation-[\dT-]+\.json", saved.value.suggested_filename)
    saved.value.save_as(tmp_path / "saved.json")
    exported = json.loads((tmp_path / "saved.json").read_text())
    only = exported["turns"][0]
    assert only["answer"] == exported["messages"][-1]["content"] == copy_answer(page)
    assert only["usage"]["completion_tokens"] > 0
    assert only["seconds_to_first_token"] > 0
    again = [*exported["messages"], {"role": "user", "content": "And its colour?"}]
    reply = httpx.post(
        f"{address}/v1/chat/completions",
        json={"model": exported["model"], "messages": again, "max_tokens": 4},
        timeout=60,
    )
    assert reply.json()["usage"]["prompt_tokens_details"]["multimodal_tokens"] == {"image": 32}


def test_the_browser_stores_nothing(page: Page) -> None:
    ask(page, "Hello.")
    turn(page)
    stored = "localStorage.length + sessionStorage.length + document.cookie.length"
    assert page.evaluate(stored) == 0
    page.once("dialog", lambda dialog: dialog.accept())  # the browser asks whether to leave
    page.reload()
    expect(page.locator("#readiness-text")).to_have_text("Ready")
    expect(page.locator(".turn")).to_have_count(0)


def test_the_strip_shows_load_and_caches(page: Page, address: str) -> None:
    name = httpx.get(f"{address}/v1/models").json()["data"][0]["id"]
    expect(page.locator("#status-model")).to_have_text(name)
    for _ in range(2):
        add(page, png())
        ask(page, "What is this?")
        turn(page)
        page.get_by_role("button", name="New", exact=True).click()
    for figure in ("in-flight", "rate", "prefix-cache", "image-cache"):
        expect(page.locator(f"#status-{figure}")).to_have_text(re.compile(r"^\d+(\.\d)?( %)?$"))
    expect(page.locator("#status-image-cache")).not_to_have_text("0 %")


@pytest.fixture
def guarded(tiny_model: Callable[[str], ModelFolder]) -> Iterator[ServerProcess]:
    """A service that requires an API key."""
    process = ServerProcess(tiny_model("minigpt4-vicuna").root, ["--api-key", KEY])
    try:
        yield process.start()
    finally:
        process.stop()


def test_the_page_asks_for_a_key_and_uses_it(guarded: ServerProcess, open_page: OpenPage) -> None:
    page = open_page(guarded.url)
    field = page.get_by_role("textbox", name="API key")
    expect(field).to_be_focused()
    field.fill("wrong")
    field.press("Enter")
    expect(page.locator("#notice")).to_contain_text("This API key is wrong")
    field.fill(KEY)
    field.press("Enter")
    expect(field).to_be_hidden()
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#status-model")).to_have_text("minigpt4-vicuna")
    add(page, png())
    ask(page, "What is this?")
    turn(page).get_by_role("button", name="Code").click()
    for code in ("#code-curl", "#code-python"):
        expect(page.locator(code)).to_contain_text("OPENAI_API_KEY")
        expect(page.locator(code)).not_to_contain_text(KEY)
