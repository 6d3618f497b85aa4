"""The JSONL that curation writes and continues."""

import json
import resource
from pathlib import Path

import pytest

from service.curation.caption_file import CuratedCaption, append_caption, read_images
from service.errors import AlignmentError


def make_line(image: str = "a.jpg", caption: str = "A caf\u00e9.") -> CuratedCaption:
    return CuratedCaption(image, caption, True, [], 2, "")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    file = tmp_path / "folder" / "curated.jsonl"
    append_caption(file, make_line())
    return file


def test_a_half_written_last_line_is_removed(out: Path) -> None:
    whole = out.read_bytes()
    append_caption(out, make_line("b.jpg"))
    second = out.read_bytes()[len(whole) :]
    assert b"\xc3\xa9" in second
    # A kill may come anywhere, even in the middle of a letter.
    for end in range(1, len(second) - 1):
        out.write_bytes(whole + second[:end])
        assert read_images(out) == {"a.jpg"}
        assert out.read_bytes() == whole


def test_a_last_line_without_a_line_end_gets_one(out: Path) -> None:
    out.write_bytes(out.read_bytes().rstrip(b"\n"))
    assert read_images(out) == {"a.jpg"}
    append_caption(out, make_line("b.jpg"))
    assert read_images(out) == {"a.jpg", "b.jpg"}
    out.write_bytes(out.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert read_images(out) == {"a.jpg", "b.jpg"}


@pytest.mark.parametrize("text", ["Notes", "{}\nNotes\n", "1\n", "[]\n", '{"caption": "A"}'])
def test_a_line_of_another_program_is_named_and_left_alone(out: Path, text: str) -> None:
    before = out.read_text() + text
    out.write_text(before)
    with pytest.raises(AlignmentError, match=r"curated.jsonl:2"):
        read_images(out)
    assert out.read_text() == before


def test_a_line_that_does_not_fit_on_the_disk_leaves_nothing_behind(out: Path) -> None:
    whole = out.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, hard))
    try:
        with pytest.raises(AlignmentError, match="cannot be written: No space"):
            append_caption(out, make_line("b.jpg"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert out.read_bytes() == whole
    assert json.loads(whole)["image"] == "a.jpg"
