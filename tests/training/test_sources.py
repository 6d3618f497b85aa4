"""Readers: what comes out, what is skipped with its place, what is an error."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from service.errors import DatasetError
from service.training.batches import Batches
from service.training.folders import AlignSource, JsonlSource
from service.training.samples import BadSample, Part, RawSample, Source
from service.training.shards import ShardSource, expand_shards, read_shard
from service.training.sources import open_source
from tests.training.conftest import picture, take, write_shard

WHOLE = Part()


def texts(
    source: Source, number: int, part: Part = WHOLE, seed: int = 0, skip: int = 0
) -> list[str]:
    stream = (s for s in source.stream(part, seed, skip) if isinstance(s, RawSample))
    return [sample.text for sample in islice(stream, number)]


def jsonl(folder: Path, *lines: bytes) -> Path:
    """A list in ``folder``, which also gets an image ``a.jpg``."""
    (folder / "a.jpg").write_bytes(picture("red"))
    index = folder / "list.jsonl"
    index.write_bytes(b"\n".join(lines))
    return index


GOOD = b'{"image": "a.jpg", "caption": "a red square"}'


def test_each_round_of_a_folder_holds_every_sample_once(colours: Path) -> None:
    source = JsonlSource(colours / "captions.jsonl")
    first, second = texts(source, 8)[:4], texts(source, 8)[4:]
    assert sorted(first) == sorted(second) == sorted(set(first))
    assert texts(source, 40, seed=1) != texts(source, 40, seed=2)


def test_parts_share_a_round_between_them(colours: Path) -> None:
    source = JsonlSource(colours / "captions.jsonl")
    both = texts(source, 2, Part(0, 2)) + texts(source, 2, Part(1, 2))
    assert Counter(both) == Counter(texts(source, 4))


def test_a_resumed_stream_goes_on_where_it_was(colours: Path) -> None:
    source = JsonlSource(colours / "captions.jsonl")
    assert texts(source, 20)[7:] == texts(source, 13, skip=7)


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
    assert bad[f"{index}:2"].startswith(f"{index}:2: no JSON: ")
    assert bad[f"{index}:3"] == f"{index}:3: no caption"
    assert bad[f"{index}:5"] == f"{index}:5: a missing image: {tmp_path / 'none.jpg'}"
    assert {s.text for s in seen if isinstance(s, RawSample)} == {"a red square"}


def test_a_set_without_a_usable_sample_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(DatasetError, match=r"empty.jsonl has no usable sample"):
        JsonlSource(empty)
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{\n")
    with pytest.raises(DatasetError, match=r"broken.jsonl:1: no JSON"):
        JsonlSource(broken)
    missing = tmp_path / "missing.jsonl"
    missing.write_text('{"image": "none.jpg", "caption": "gone"}\n')
    with pytest.raises(DatasetError, match="not one of its images"):
        list(JsonlSource(missing).stream(Part(), 0))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (
            b'{"image": "a.jpg", "caption": "half \\ud83d of a pair"}',
            "a caption that is no valid text",
        ),
        (b'{"image": "a.jpg", "caption": "an <ImageHere> tag"}', "a caption with the image tag"),
        (b'{"image": "a\\u0000.jpg", "caption": "x"}', "a missing image"),
        (b'{"image": "a\\ud800.jpg", "caption": "x"}', "a missing image"),
        (b'{"image": "a.jpg", "caption": "x", "n": ' + b"1" * 5000 + b"}", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"image": "a.jpg", "caption": "caf\xe9"}', "no JSON"),
        (b'{"image": "a.jpg", "caption": 5}', "no caption"),
        (b'{"image": "a.jpg", "caption": " "}', "an empty caption"),
        (b'{"image": null, "caption": "x"}', "no image"),
    ],
    ids=range(10),
)
def test_whatever_is_wrong_with_a_line_is_a_bad_sample(
    tmp_path: Path, line: bytes, kind: str
) -> None:
    source = JsonlSource(jsonl(tmp_path, GOOD, line))
    index = source.index
    seen = [*source.bad, *islice(source.stream(Part(), 0), len(source))]
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["a red square"]
    bad = [s for s in seen if isinstance(s, BadSample)]
    assert [(s.where, s.kind) for s in bad] == [(f"{index}:2", kind)]
    str(bad[0]).encode()


def test_what_is_wrong_with_a_shards_caption_is_a_bad_sample(tmp_path: Path) -> None:
    captions = [
        b'{"caption": "half \\ud83d"}',
        b"[" * 100_000,
        b'{"caption": "<ImageHere>"}',
        b"\xff",
    ]
    shard = tmp_path / "0.tar"
    write_shard(
        shard, {str(n): {"jpg": b"", "json": caption} for n, caption in enumerate(captions)}
    )
    assert [s.kind for s in read_shard(shard) if isinstance(s, BadSample)] == [
        "a caption that is no valid text",
        "no caption",
        "a caption with the image tag",
        "no caption",
    ]


def test_lines_end_at_line_feeds_only_and_a_byte_order_mark_costs_none(tmp_path: Path) -> None:
    separated = '{"image": "a.jpg", "caption": "one\u2028two\u0085three"}\r'.encode()
    index = jsonl(tmp_path, b"\xef\xbb\xbf" + GOOD, separated)
    source = JsonlSource(index)
    assert source.bad == []
    assert set(texts(source, 2)) == {"a red square", "one\u2028two\u0085three"}


@pytest.mark.parametrize("part", [Part(0, 2), Part(1, 2), Part(3, 8)])
def test_a_part_of_which_nothing_can_be_read_waits_for_the_rest(tmp_path: Path, part: Part) -> None:
    missing = b'{"image": "none.jpg", "caption": "gone"}'
    source = JsonlSource(jsonl(tmp_path, GOOD, missing))
    for seed in range(8):
        assert texts(source, 20, part, seed) == ["a red square"] * 20
    nothing = JsonlSource(jsonl(tmp_path, *[missing] * 5))
    with pytest.raises(DatasetError, match="not one of its images"):
        list(nothing.stream(part, 0))


def test_what_a_resumed_stream_skips_is_not_read(
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
    texts(source, 1, skip=1000)
    assert len(opened) == 1


def test_a_resumed_stream_counts_bad_samples_too(tmp_path: Path) -> None:
    missing = b'{"image": "none.jpg", "caption": "gone"}'
    source = JsonlSource(jsonl(tmp_path, b"{", GOOD, missing, b"{", GOOD))
    for part in (Part(), Part(0, 2), Part(1, 2)):
        whole = list(islice(source.stream(part, 0), 20))
        for skip in (1, 2, 3, 9):
            assert list(islice(source.stream(part, 0, skip), 20 - skip)) == whole[skip:]


def test_a_list_with_more_bad_lines_than_a_batch_may_skip_is_read_all_the_same(
    tmp_path: Path,
) -> None:
    source = JsonlSource(jsonl(tmp_path, *[b"{"] * 10_001, GOOD))
    (batch,) = take(Batches([source], [1.0], samples=1, image_size=14), 1)
    assert batch.texts == ["a red square"]
    assert len(source.bad) == 10_001


def test_data_sets_are_told_apart(tmp_path: Path, colours: Path) -> None:
    one = JsonlSource(jsonl(tmp_path, GOOD))
    more = JsonlSource(jsonl(tmp_path, GOOD, GOOD))
    names = {one.name, more.name, open_source(str(colours)).name}
    assert len(names) == 3


def test_a_list_that_was_edited_is_other_data(tmp_path: Path) -> None:
    one = JsonlSource(jsonl(tmp_path, GOOD)).name
    assert JsonlSource(jsonl(tmp_path, GOOD)).name == one
    assert JsonlSource(jsonl(tmp_path, GOOD.replace(b"red", b"RED"))).name != one


def test_shards_of_other_sizes_are_other_data(tmp_path: Path) -> None:
    def name(caption: bytes) -> str:
        write_shard(tmp_path / "0.tar", {"a": {"txt": caption}})
        return open_source(str(tmp_path)).name

    assert name(b"one") == name(b"two")
    assert name(b"one") != name(b"one" * 10_000)


@pytest.mark.parametrize("content", ['{"annotations": 5}', '{"annotations": null}', "[]", "5"])
def test_annotations_that_are_no_list_are_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "filter_cap.json").write_text(content)
    with pytest.raises(DatasetError, match='no list "annotations"'):
        open_source(str(tmp_path))


def test_an_index_that_is_no_text_is_an_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "filter_cap.json").write_bytes(b'{"annotations":\n[{"caption": "caf\xe9"}]}')
    with pytest.raises(DatasetError, match=r"filter_cap.json:2: no JSON: no UTF-8"):
        open_source(str(tmp_path))


def test_the_published_second_stage_layout(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "2.jpg").write_bytes(picture("red"))
    annotations = [
        {"image_id": "2", "caption": "A red picture."},
        {"image_id": 3, "caption": "Gone."},
    ]
    (tmp_path / "filter_cap.json").write_text(json.dumps({"annotations": annotations}))
    source = open_source(str(tmp_path))
    assert isinstance(source, AlignSource)
    seen = list(islice(source.stream(Part(), 0), 2))
    assert source.bad == []
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["A red picture."]
    assert [s.where for s in seen if isinstance(s, BadSample)] == [
        f"{tmp_path / 'filter_cap.json'}: annotations[1]"
    ]
    (tmp_path / "filter_cap.json").write_text('{\n "annotations": [\n')
    with pytest.raises(DatasetError, match=r"filter_cap.json:\d+: no JSON"):
        open_source(str(tmp_path))


def test_shards_group_members_and_name_bad_ones(tmp_path: Path) -> None:
    shard = tmp_path / "00000.tar"
    write_shard(
        shard,
        {
            "000": {"jpg": picture("red"), "json": b'{"caption": "one"}', "txt": b"not this"},
            "001": {"txt": b"no image"},
            "002": {"jpg": picture("blue"), "txt": b"two"},
            "003": {"jpg": picture("blue"), "json": b"{"},
        },
    )
    seen = list(read_shard(shard))
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["one", "two"]
    assert [s.where for s in seen if isinstance(s, BadSample)] == [
        f"{shard}: 001",
        f"{shard}: 003",
    ]


def test_a_truncated_shard_gives_what_it_has(tmp_path: Path) -> None:
    shard = tmp_path / "00000.tar"
    group = {"jpg": picture("red"), "txt": b"one"}
    write_shard(shard, {"000": group, "001": group, "002": {"jpg": bytes(40_000), "txt": b"x"}})
    shard.write_bytes(shard.read_bytes()[:20_000])
    seen = list(read_shard(shard))
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["one", "one"]
    assert isinstance(seen[-1], BadSample)
    assert seen[-1].kind == "a damaged shard"


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (b"x" * 512, "a damaged header (invalid header)"),
        (bytes(512), "a header of zeros before the end"),
    ],
    ids=["garbage", "zeros"],
)
def test_a_damaged_header_in_a_shard_is_counted(tmp_path: Path, damage: bytes, detail: str) -> None:
    shard = tmp_path / "00000.tar"
    group = {"jpg": picture("red"), "txt": b"one"}
    write_shard(shard, {f"{number:03}": group for number in range(20)})
    content = shard.read_bytes()
    place = content.index(b"005.jpg")
    shard.write_bytes(content[:place] + damage + content[place + 512 :])
    seen = list(read_shard(shard))
    assert len([s for s in seen if isinstance(s, RawSample)]) == 4
    assert seen[4:] == [BadSample(str(shard), "a damaged shard", detail)]


def test_a_shard_that_ends_within_a_header_is_counted(tmp_path: Path) -> None:
    shard = tmp_path / "00000.tar"
    group = {"jpg": picture("red"), "txt": b"one"}
    write_shard(shard, {"000": group, "001": group})
    shard.write_bytes(shard.read_bytes()[: shard.read_bytes().index(b"001.txt") + 100])
    seen = list(read_shard(shard))
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["one"]
    assert str(seen[-1]).endswith("a damaged shard: a damaged header (truncated header)")


@pytest.mark.parametrize("content", [b"", b"garbage"], ids=["empty", "garbage"])
def test_one_bad_shard_does_not_end_the_others(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0.tar").write_bytes(content)
    write_shard(tmp_path / "1.tar", {"000": {"jpg": picture("red"), "txt": b"one"}})
    for seed in range(5):
        assert texts(open_source(str(tmp_path)), 700, seed=seed) == ["one"] * 700


def test_shards_without_samples_are_an_error_not_an_endless_loop(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", {"000": {"txt": b"no image"}})
    with pytest.raises(DatasetError, match="usable sample"):
        list(ShardSource([tmp_path / "0.tar"]).stream(Part(), 0))


def test_shard_patterns(tmp_path: Path) -> None:
    for number in range(3):
        write_shard(tmp_path / f"{number:05}.tar", {"a": {"txt": b"x"}})
    assert len(expand_shards(f"{tmp_path}/{{00000..00002}}.tar")) == 3
    assert len(expand_shards(f"{tmp_path}/*.tar")) == 3
    with pytest.raises(DatasetError, match=r"00003.tar does not exist"):
        expand_shards(f"{tmp_path}/{{00000..00003}}.tar")
    with pytest.raises(DatasetError, match="matches no"):
        open_source(f"{tmp_path}/x*.tar")
