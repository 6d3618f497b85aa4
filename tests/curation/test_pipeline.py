"""Curation with two stand-in services."""

import argparse
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from service.chat_client import Endpoint
from service.curation.command import add_arguments, run
from service.curation.pipeline import curate
from service.errors import AlignmentError
from service.training.image_lists import JsonlSource
from tests.fake_openai import UnsupportedParameterError, fake_openai, web_site
from tests.training.conftest import picture

LONG = " ".join(f"There is thing number {n} at place {n}." for n in range(12))


NO_RETRY = {"x-should-retry": "false"}
"""A header with which a service tells the client not to try again."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for colour in ("red", "blue"):
        (folder / f"{colour}.jpg").write_bytes(picture(colour))
    return folder


def read_lines(out: Path) -> dict[str, Any]:
    """The lines by the names of their images."""
    lines = (json.loads(line) for line in out.read_text("utf-8").split("\n") if line)
    return {line["image"].removeprefix("images/"): line for line in lines}


def test_short_descriptions_are_continued_and_all_are_cleaned_up(
    images: Path, tmp_path: Path
) -> None:
    asked, fixed = [], []

    def describe(body: dict[str, Any]) -> tuple[str, int, str]:
        asked.append(body["messages"])
        return ("A short one.", 4, "stop") if len(body["messages"]) == 1 else ("More.", 90, "stop")

    def fix(body: dict[str, Any]) -> tuple[str, int, str]:
        fixed.append(body["messages"][0]["content"])
        return LONG, 99, "stop"

    out = tmp_path / "curated.jsonl"
    with fake_openai(describe) as url, fake_openai(fix) as fixer:
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (2, 2)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["image"] for line in lines} == {"images/red.jpg", "images/blue.jpg"}
    assert {line["raw"] for line in lines} == {"A short one. More."}
    assert all(text.endswith("\n\nA short one. More.") for text in fixed)
    continued = [messages for messages in asked if len(messages) == 3]
    assert [messages[2]["content"] for messages in continued] == ["Continue", "Continue"]
    # The trainer can read the file.
    assert len(JsonlSource(out).entries) == 2


def test_progress_counts_the_images_of_earlier_runs(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "curated.jsonl"
    out.write_text('{"image": "images/red.jpg", "caption": "x", "keep": true}\n')
    with fake_openai(lambda body: (LONG, 90, "stop")) as url:
        curate(images, out, Endpoint(url), Endpoint(url), show_progress=True)
    shown = capsys.readouterr().err
    assert "1/2" in shown
    assert "2/2" in shown


def test_a_second_run_continues_and_bad_lines_are_not_kept(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "curated.jsonl"
    fixer_says = ["Cut off in the", LONG]

    def fix(body: dict[str, Any]) -> tuple[str, int, str]:
        return fixer_says.pop(), 9, "stop"

    with fake_openai(lambda body: (LONG, 120, "stop")) as url, fake_openai(fix) as fixer:
        (images / "blue.jpg").rename(tmp_path / "blue.jpg")
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (1, 1)
        (tmp_path / "blue.jpg").rename(images / "blue.jpg")
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (1, 0)
    last = read_lines(out)["blue.jpg"]
    assert last["keep"] is False
    assert last["problems"] == ["unfinished"]


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_failing_service_leaves_the_finished_lines(
    images: Path, tmp_path: Path, status: int
) -> None:
    out = tmp_path / "curated.jsonl"
    calls = []

    def describe(body: dict[str, Any]) -> tuple[str, int, str]:
        calls.append(body)
        if len(calls) > 1:
            raise HTTPException(status, headers=NO_RETRY)
        return LONG, 120, "stop"

    with (
        fake_openai(describe) as url,
        fake_openai(lambda body: (LONG, 99, "stop")) as fixer,
        pytest.raises(AlignmentError, match=rf"{url}.* {status}.* Images finished before: 1;"),
    ):
        curate(images, out, Endpoint(url), Endpoint(fixer), concurrency=1)
    assert len(read_lines(out)) == 1


def test_images_in_work_are_finished_when_a_service_fails(images: Path, tmp_path: Path) -> None:
    for colour in ("green", "yellow", "black", "white", "pink", "grey"):
        (images / f"{colour}.jpg").write_bytes(picture(colour))
    out = tmp_path / "curated.jsonl"
    asked, fixed, failed = [], [], threading.Event()

    def describe(body: dict[str, Any]) -> tuple[str, int, str]:
        asked.append(body)
        if len(asked) == 4:
            failed.set()
            raise HTTPException(500, headers=NO_RETRY)
        return LONG, 120, "stop"

    def fix(body: dict[str, Any]) -> tuple[str, int, str]:
        assert failed.wait(20)
        fixed.append(body)
        return LONG, 99, "stop"

    with fake_openai(describe) as url, fake_openai(fix) as fixer:
        with pytest.raises(AlignmentError, match=f"{url}.* 500"):
            curate(images, out, Endpoint(url), Endpoint(fixer), concurrency=4)
        assert len(read_lines(out)) == len(fixed) == len(asked) - 1
        assert 3 <= len(fixed) < 7, "nothing new is begun after the failure"
        curate(images, out, Endpoint(url), Endpoint(fixer))
    assert len(read_lines(out)) == len(fixed) == 8


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_image_is_a_line_that_is_not_kept_and_the_others_go_on(
    images: Path, tmp_path: Path, status: int
) -> None:
    (images / "green.jpg").write_bytes(picture("green"))
    out = tmp_path / "curated.jsonl"
    raws = ["red.jpg", "green.jpg", "blue.jpg"]  # in the order of the names, from the end

    def describe(body: dict[str, Any]) -> tuple[str, int, str]:
        raw = raws.pop()
        if raw == "blue.jpg":
            raise HTTPException(status)
        return f"{raw} {LONG}", 120, "stop"

    def fix(body: dict[str, Any]) -> tuple[str, int, str]:
        if "green.jpg" in body["messages"][0]["content"]:
            raise HTTPException(status)
        return LONG, 99, "stop"

    with fake_openai(describe) as url, fake_openai(fix) as fixer:
        assert curate(images, out, Endpoint(url), Endpoint(fixer), concurrency=1) == (3, 1)
        # Another run would run out of answers: it asks nothing.
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (0, 0)
    lines = read_lines(out)
    assert lines["red.jpg"]["keep"]
    for image, service in (("blue.jpg", url), ("green.jpg", fixer)):
        assert lines[image]["keep"] is False
        [problem] = lines[image]["problems"]
        assert problem.startswith(f"refused: {service}")
        assert str(status) in problem
    assert lines["blue.jpg"]["raw"] == ""
    assert lines["green.jpg"]["raw"] == f"green.jpg {LONG}"


@pytest.mark.parametrize("concurrency", [1, 4, 8])
@pytest.mark.parametrize("who", ["describer", "fixer"])
def test_a_service_that_refuses_every_request_writes_no_line(
    images: Path, tmp_path: Path, who: str, concurrency: int
) -> None:
    for number in range(6):
        (images / f"{number}.jpg").write_bytes(picture("green"))
    out = tmp_path / "curated.jsonl"
    refused = []

    def refuse(body: dict[str, Any]) -> tuple[str, int, str]:
        refused.append(body)
        raise HTTPException(400)

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        return LONG, 120, "stop"

    bad = who == "describer"
    with fake_openai(refuse) as refusing, fake_openai(answer) as answering:
        describer, fixer = Endpoint(refusing if bad else answering), Endpoint(answering)
        fixer = fixer if bad else Endpoint(refusing)
        with pytest.raises(AlignmentError, match=rf"first 5 requests were .* {refusing}.* 400"):
            curate(images, out, describer, fixer, concurrency=concurrency)
        assert 5 <= len(refused) < 5 + concurrency
        assert not out.exists()
        # When the fault is repaired, another run has every image.
        assert curate(images, out, Endpoint(answering), Endpoint(answering)) == (8, 8)


def test_a_reasoning_model_gets_its_own_parameter_for_the_longest_answer(
    images: Path, tmp_path: Path
) -> None:
    asked = []

    def fix(body: dict[str, Any]) -> tuple[str, int, str]:
        asked.append(body)
        if "max_tokens" in body:
            raise UnsupportedParameterError("max_tokens")
        return LONG, 99, "stop"

    out = tmp_path / "curated.jsonl"
    with fake_openai(lambda body: (LONG, 120, "stop")) as url, fake_openai(fix) as fixer:
        assert curate(images, out, Endpoint(url), Endpoint(fixer), concurrency=1) == (2, 2)
    # The first request is refused; the next ones use the other parameter.
    limits = [body.keys() & {"max_tokens", "max_completion_tokens"} for body in asked]
    assert limits == [{"max_tokens"}, {"max_completion_tokens"}, {"max_completion_tokens"}]


@pytest.mark.parametrize(
    ("caption", "problems"),
    [("I'm sorry, I can't help with that.", ["an apology"]), ("A dog.", [])],
)
def test_tokens_are_those_of_the_cleaned_up_caption(
    images: Path, tmp_path: Path, caption: str, problems: list[str]
) -> None:
    out = tmp_path / "curated.jsonl"
    with (
        fake_openai(lambda body: (LONG, 300, "stop")) as url,
        fake_openai(lambda body: (caption, 300, "stop")) as fixer,
    ):
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (2, 0 if problems else 2)
    for line in read_lines(out).values():
        assert line["problems"] == problems
        assert line["tokens"] == len(caption) // 4


def test_the_clean_up_may_be_long_and_a_truncated_one_is_marked(
    images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "curated.jsonl"
    rooms = []

    def fix(body: dict[str, Any]) -> tuple[str, int, str]:
        rooms.append(body["max_tokens"])
        return LONG, rooms[-1], "length"

    answers = [(LONG, 300, "stop"), (LONG, 79, "length")] * 2
    (images / "blue.jpg").unlink()
    with fake_openai(lambda body: answers.pop()) as url, fake_openai(fix) as fixer:
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (1, 0)
    assert rooms[0] >= 2 * (79 + 300)
    assert read_lines(out)["red.jpg"]["problems"] == ["unfinished"]


@pytest.mark.parametrize("status", [200, 404])
def test_a_web_site_is_refused_as_a_service(images: Path, tmp_path: Path, status: int) -> None:
    out = tmp_path / "curated.jsonl"
    with fake_openai(lambda body: (LONG, 99, "stop")) as url, web_site(status) as site:
        for describer, fixer in (
            (Endpoint(site), Endpoint(url)),
            (Endpoint(site, "model"), Endpoint(url)),
            (Endpoint(url), Endpoint(site)),
            (Endpoint(url), Endpoint(site, "model")),
        ):
            with pytest.raises(AlignmentError, match=f"{site}.* is not an OpenAI-compatible API"):
                curate(images, out, describer, fixer)


def test_only_files_are_images_and_an_unreadable_file_is_a_line(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "folder.png").mkdir()
    (images / "folder.png" / "green.jpg").write_bytes(picture("green"))
    (images / "nowhere.jpg").symlink_to(tmp_path / "missing")
    read = type(images).read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == "blue.jpg":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(type(images), "read_bytes", read_bytes)
    out = tmp_path / "curated.jsonl"
    with fake_openai(lambda body: (LONG, 99, "stop")) as url:
        assert curate(images, out, Endpoint(url), Endpoint(url)) == (3, 2)
    assert set(read_lines(out)) == {"red.jpg", "blue.jpg", "folder.png/green.jpg"}
    assert read_lines(out)["blue.jpg"]["problems"] == ["cannot be read: Permission denied"]


def test_other_line_separators_in_an_answer_do_not_end_the_line(
    images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "curated.jsonl"
    odd = LONG + "\u2028It is\u0085odd."
    with (
        fake_openai(lambda body: (odd, 120, "stop")) as url,
        fake_openai(lambda body: (LONG, 99, "stop")) as fixer,
    ):
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (2, 2)
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (0, 0)
    assert read_lines(out)["red.jpg"]["raw"] == odd
    assert len(JsonlSource(out).entries) == 2


def wait_for_lines(out: Path, number: int) -> None:
    deadline = time.monotonic() + 20
    while not out.is_file() or out.read_bytes().count(b"\n") < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt; a background job of a shell starts with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_keeps_what_is_finished(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "curated.jsonl"
    fixed, over = [], threading.Event()
    main = threading.get_ident()

    def fix(body: dict[str, Any]) -> tuple[str, int, str]:
        fixed.append(body)
        if len(fixed) == 2:
            wait_for_lines(out, 1)
            signal.pthread_kill(main, signal.SIGINT)
            over.wait(20)
        return LONG, 99, "stop"

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with fake_openai(lambda body: (LONG, 120, "stop")) as url, fake_openai(fix) as fixer:
        words = ["--images", str(images), "--out", str(out), "--url", url, "--fixer-url", fixer]
        arguments = parser.parse_args([*words, "--concurrency", "1"])
        with pytest.raises(SystemExit) as end:
            run(arguments)
        over.set()
        assert end.value.code == 130
        assert f"{out} has the finished images" in capsys.readouterr().err
        assert set(read_lines(out)) == {"blue.jpg"}
        run(arguments)
    assert "1 lines written" in capsys.readouterr().out
    assert len(read_lines(out)) == 2


def test_a_folder_without_images_and_a_missing_service_are_refused(
    images: Path, tmp_path: Path
) -> None:
    nobody = Endpoint("http://127.0.0.1:9")
    with pytest.raises(AlignmentError, match="no images"):
        curate(tmp_path / "none", tmp_path / "o.jsonl", nobody, nobody)
    with pytest.raises(AlignmentError, match="No service answers"):
        curate(images, tmp_path / "o.jsonl", nobody, nobody)
