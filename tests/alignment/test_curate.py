"""Curation against two stand-in services."""

import json

import pytest

from service.alignment.curate import Endpoint, curate, problems_of
from service.alignment.sources import JsonlSource
from service.errors import AlignmentError
from tests.alignment.conftest import picture
from tests.fake_openai import fake_openai

LONG = " ".join(f"There is thing number {n} at place {n}." for n in range(12))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for colour in ("red", "blue"):
        (folder / f"{colour}.jpg").write_bytes(picture(colour))
    return folder


def test_short_descriptions_are_continued_and_all_are_cleaned_up(images, tmp_path):
    asked, fixed = [], []

    def describe(body):
        asked.append(body["messages"])
        return ("A short one.", 4, "stop") if len(body["messages"]) == 1 else ("More.", 90, "stop")

    def fix(body):
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
    # What was written is what the trainer reads.
    assert len(JsonlSource(out)) == 2


def test_a_second_run_goes_on_and_bad_lines_are_not_kept(images, tmp_path):
    out = tmp_path / "curated.jsonl"
    fixer_says = ["Cut off in the", LONG]

    def fix(body):
        return fixer_says.pop(), 9, "stop"

    with fake_openai(lambda body: (LONG, 120, "stop")) as url, fake_openai(fix) as fixer:
        (images / "blue.jpg").rename(tmp_path / "blue.jpg")
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (1, 1)
        (tmp_path / "blue.jpg").rename(images / "blue.jpg")
        assert curate(images, out, Endpoint(url), Endpoint(fixer)) == (1, 0)
    last = json.loads(out.read_text().splitlines()[-1])
    assert last["image"] == "images/blue.jpg"
    assert last["keep"] is False
    assert last["problems"] == ["unfinished"]


def test_a_failing_service_keeps_what_is_written(images, tmp_path):
    out = tmp_path / "curated.jsonl"
    calls = []

    def describe(body):
        calls.append(body)
        if len(calls) > 1:
            raise ValueError("broken")
        return LONG, 120, "stop"

    with (
        fake_openai(describe) as url,
        fake_openai(lambda body: (LONG, 99, "stop")) as fixer,
        pytest.raises(AlignmentError, match="broken"),
    ):
        curate(images, out, Endpoint(url), Endpoint(fixer), concurrency=1)
    assert len(out.read_text().splitlines()) == 1


def test_what_cannot_work_is_said(images, tmp_path):
    nobody = Endpoint("http://127.0.0.1:9")
    with pytest.raises(AlignmentError, match="no images"):
        curate(tmp_path / "none", tmp_path / "o.jsonl", nobody, nobody)
    with pytest.raises(AlignmentError, match="No service answers"):
        curate(images, tmp_path / "o.jsonl", nobody, nobody)
    (tmp_path / "o.jsonl").write_text("{}\nnonsense\n")
    with pytest.raises(AlignmentError, match=r"o.jsonl:1"):
        curate(images, tmp_path / "o.jsonl", nobody, nobody)


@pytest.mark.parametrize(
    ("caption", "tokens", "problem"),
    [
        ("", 90, "empty"),
        (LONG, 20, "shorter than 80 tokens"),
        ("It is red. It is blue. It is red.", 90, "a sentence twice"),
        ("It is very very very red.", 90, "words in a loop"),
        ("It is red ### yes.", 90, "stray characters"),
        ("It is red and", 90, "unfinished"),
    ],
)
def test_filters(caption, tokens, problem):
    assert problems_of(caption, tokens) == [problem]
    assert problems_of(LONG, 90) == []
