"""Data sets that list image files: their samples, their bad samples, and their errors."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from service.errors import DatasetError
from service.training.batches import Batches
from service.training.image_lists import CcSbuAlignSource, JsonlSource
from service.training.samples import BadSample, Part, RawSample
from service.training.sources import open_data_set
from tests.training.conftest import picture, read_texts, take


def write_list(folder: Path, *lines: bytes) -> Path:
    """A list in ``folder``, which also gets an image ``a.jpg``."""
    (folder / "a.jpg").write_bytes(picture("red"))
    index = folder / "list.jsonl"
    index.write_bytes(b"\n".join(lines))
    return index


GOOD = b'{"image": "a.jpg", "caption": "a red square"}'


def test_each_round_has_every_sample_once(colours: Path) -> None:
    source = JsonlSource(colours / "captions.jsonl")
    first, second = read_texts(source, 8)[:4], read_texts(source, 8)[4:]
    assert sorted(first) == sorted(second) == sorted(set(first))
    assert read_texts(source, 40, seed=1) != read_texts(source, 40, seed=2)


def test_the_parts_of_a_round_have_every_sample_once(colours: Path) -> None:
    source = JsonlSource(colours / "captions.jsonl")
    both = read_texts(source, 2, Part(0, 2)) + read_texts(source, 2, Part(1, 2))
    assert Counter(both) == Counter(read_texts(source, 4))


def test_a_resumed_stream_continues_at_the_next_sample(colours: Path) -> None:
    source = JsonlSource(colours / "captions.jsonl")
    assert read_texts(source, 20)[7:] == read_texts(source, 13, skip=7)


def test_bad_lines_are_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture("red"))
    index = tmp_path / "list.jsonl"
    index.write_text(
        '{"image": "a.jpg", "caption": "a red square"}\n'
        '{"image": "a.jpg", "caption"\n'
        '{"image": "a.jpg"}\n'
        '{"image": "a.jpg", "caption": "struck", "keep": false}\n'
        '{"image": "none.jpg", "caption": "gone"}\n'
    )
    source = JsonlSource(index)
    seen = list(islice(source.stream(Part(), 0), 6))
    bad = {s.where: str(s) for s in [*source.bad, *seen] if isinstance(s, BadSample)}
    assert bad[f"{index}:2"].startswith(f"{index}:2: invalid JSON: ")
    assert bad[f"{index}:3"] == f"{index}:3: no caption"
    assert bad[f"{index}:5"] == f"{index}:5: a missing image: {tmp_path / 'none.jpg'}"
    assert {s.text for s in seen if isinstance(s, RawSample)} == {"a red square"}


def test_a_list_without_a_usable_sample_is_an_error_with_its_place(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(DatasetError, match=r"empty.jsonl has no usable sample"):
        JsonlSource(empty)
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{\n")
    with pytest.raises(DatasetError, match=r"broken.jsonl:1: invalid JSON"):
        JsonlSource(broken)
    missing = tmp_path / "missing.jsonl"
    missing.write_text('{"image": "none.jpg", "caption": "gone"}\n')
    with pytest.raises(DatasetError, match="none of its images"):
        list(JsonlSource(missing).stream(Part(), 0))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (
            b'{"image": "a.jpg", "caption": "half \\ud83d of a pair"}',
            "a caption that is not valid text",
        ),
        (b'{"image": "a.jpg", "caption": "an <ImageHere> tag"}', "a caption with the image tag"),
        (b'{"image": "a\\u0000.jpg", "caption": "x"}', "a missing image"),
        (b'{"image": "a\\ud800.jpg", "caption": "x"}', "a missing image"),
        (b'{"image": "a.jpg", "caption": "x", "n": ' + b"1" * 5000 + b"}", "invalid JSON"),
        (b"[" * 100_000, "invalid JSON"),
        (b'{"image": "a.jpg", "caption": "caf\xe9"}', "invalid JSON"),
        (b'{"image": "a.jpg", "caption": 5}', "no caption"),
        (b'{"image": "a.jpg", "caption": " "}', "an empty caption"),
        (b'{"image": null, "caption": "x"}', "no image"),
    ],
    ids=range(10),
)
def test_each_fault_of_a_line_is_a_bad_sample(tmp_path: Path, line: bytes, kind: str) -> None:
    source = JsonlSource(write_list(tmp_path, GOOD, line))
    index = source.index
    seen = [*source.bad, *islice(source.stream(Part(), 0), len(source.entries))]
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["a red square"]
    bad = [s for s in seen if isinstance(s, BadSample)]
    assert [(s.where, s.kind) for s in bad] == [(f"{index}:2", kind)]
    str(bad[0]).encode()


def test_only_line_feeds_end_a_line_and_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    separated = '{"image": "a.jpg", "caption": "one\u2028two\u0085three"}\r'.encode()
    index = write_list(tmp_path, b"\xef\xbb\xbf" + GOOD, separated)
    source = JsonlSource(index)
    assert source.bad == []
    assert set(read_texts(source, 2)) == {"a red square", "one\u2028two\u0085three"}


@pytest.mark.parametrize("part", [Part(0, 2), Part(1, 2), Part(3, 8)])
def test_a_part_without_readable_images_waits_for_the_other_rounds(
    tmp_path: Path, part: Part
) -> None:
    missing = b'{"image": "none.jpg", "caption": "gone"}'
    source = JsonlSource(write_list(tmp_path, GOOD, missing))
    for seed in range(8):
        assert read_texts(source, 20, part, seed) == ["a red square"] * 20
    nothing = JsonlSource(write_list(tmp_path, *[missing] * 5))
    with pytest.raises(DatasetError, match="none of its images"):
        list(nothing.stream(part, 0))


def test_a_resumed_stream_does_not_read_the_images_that_it_skips(
    colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    read = Path.read_bytes

    def read_and_note(path: Path) -> bytes:
        opened.append(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_and_note)
    source = JsonlSource(colours / "captions.jsonl")
    opened.clear()
    read_texts(source, 1, skip=1000)
    assert len(opened) == 1


def test_a_resumed_stream_counts_bad_samples_as_well(tmp_path: Path) -> None:
    missing = b'{"image": "none.jpg", "caption": "gone"}'
    source = JsonlSource(write_list(tmp_path, b"{", GOOD, missing, b"{", GOOD))
    for part in (Part(), Part(0, 2), Part(1, 2)):
        whole = list(islice(source.stream(part, 0), 20))
        for skip in (1, 2, 3, 9):
            assert list(islice(source.stream(part, 0, skip), 20 - skip)) == whole[skip:]


def test_bad_lines_of_a_list_do_not_count_as_bad_samples_of_a_batch(
    tmp_path: Path,
) -> None:
    source = JsonlSource(write_list(tmp_path, *[b"{"] * 10_001, GOOD))
    (batch,) = take(Batches([source], [1.0], samples=1, image_size=14), 1)
    assert batch.texts == ["a red square"]
    assert len(source.bad) == 10_001


def test_data_sets_have_different_names(tmp_path: Path, colours: Path) -> None:
    one = JsonlSource(write_list(tmp_path, GOOD))
    more = JsonlSource(write_list(tmp_path, GOOD, GOOD))
    names = {one.name, more.name, open_data_set(str(colours)).name}
    assert len(names) == 3


def test_an_edited_list_has_another_name(tmp_path: Path) -> None:
    one = JsonlSource(write_list(tmp_path, GOOD)).name
    assert JsonlSource(write_list(tmp_path, GOOD)).name == one
    assert JsonlSource(write_list(tmp_path, GOOD.replace(b"red", b"RED"))).name != one


@pytest.mark.parametrize("content", ['{"annotations": 5}', '{"annotations": null}', "[]", "5"])
def test_annotations_that_are_not_a_list_are_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "filter_cap.json").write_text(content)
    with pytest.raises(DatasetError, match='no list "annotations"'):
        open_data_set(str(tmp_path))


def test_an_index_that_is_not_text_is_an_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "filter_cap.json").write_bytes(b'{"annotations":\n[{"caption": "caf\xe9"}]}')
    with pytest.raises(DatasetError, match=r"filter_cap.json:2: invalid JSON: not UTF-8"):
        open_data_set(str(tmp_path))


def test_the_published_data_set_of_stage_2_is_read(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "2.jpg").write_bytes(picture("red"))
    annotations = [
        {"image_id": "2", "caption": "A red picture."},
        {"image_id": 3, "caption": "Gone."},
    ]
    (tmp_path / "filter_cap.json").write_text(json.dumps({"annotations": annotations}))
    source = open_data_set(str(tmp_path))
    assert isinstance(source, CcSbuAlignSource)
    seen = list(islice(source.stream(Part(), 0), 2))
    assert source.bad == []
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["A red picture."]
    assert [s.where for s in seen if isinstance(s, BadSample)] == [
        f"{tmp_path / 'filter_cap.json'}: annotations[1]"
    ]
    (tmp_path / "filter_cap.json").write_text('{\n "annotations": [\n')
    with pytest.raises(DatasetError, match=r"filter_cap.json:\d+: invalid JSON"):
        open_data_set(str(tmp_path))
