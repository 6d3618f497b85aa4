"""The JSONL that curation writes and goes on with."""

import json
import resource
from pathlib import Path

import pytest

from service.curation.caption_file import Curated, append, images_in
from service.errors import AlignmentError


def line(image: str = "a.jpg", caption: str = "A caf\u00e9.") -> Curated:
    return Curated(image, caption, True, [], 2, "")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    file = tmp_path / "folder" / "curated.jsonl"
    append(file, line())
    return file


def test_a_half_written_last_line_is_taken_off(out: Path) -> None:
    whole = out.read_bytes()
    append(out, line("b.jpg"))
    second = out.read_bytes()[len(whole) :]
    assert b"\xc3\xa9" in second
    # Wherever the kill came, in the middle of a letter too.
    for end in range(1, len(second) - 1):
        out.write_bytes(whole + second[:end])
        assert images_in(out) == {"a.jpg"}
        assert out.read_bytes() == whole


def test_a_last_line_without_its_end_is_kept_and_ended(out: Path) -> None:
    out.write_bytes(out.read_bytes().rstrip(b"\n"))
    assert images_in(out) == {"a.jpg"}
    append(out, line("b.jpg"))
    assert images_in(out) == {"a.jpg", "b.jpg"}
    out.write_bytes(out.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert images_in(out) == {"a.jpg", "b.jpg"}


@pytest.mark.parametrize("text", ["Notes", "{}\nNotes\n", "1\n", "[]\n", '{"caption": "A"}'])
def test_what_curation_did_not_write_is_named_and_left_alone(out: Path, text: str) -> None:
    before = out.read_text() + text
    out.write_text(before)
    with pytest.raises(AlignmentError, match=r"curated.jsonl:2"):
        images_in(out)
    assert out.read_text() == before


def test_a_line_that_does_not_fit_leaves_nothing_behind(out: Path) -> None:
    whole = out.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
    try:
        with pytest.raises(AlignmentError, match="cannot be written: No space"):
            append(out, line("b.jpg"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert out.read_bytes() == whole
    assert json.loads(whole)["image"] == "a.jpg"
