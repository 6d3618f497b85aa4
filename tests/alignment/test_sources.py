"""Readers: what comes out, what is skipped with its place, what is an error."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from service.alignment.sources import (
    AlignSource,
    BadSample,
    JsonlSource,
    Part,
    RawSample,
    ShardSource,
    expand_shards,
    open_source,
    read_shard,
)
from service.errors import DatasetError
from tests.alignment.conftest import picture, write_shard

WHOLE = Part()


def texts(source, number, part=WHOLE, seed=0, skip=0):
    stream = (s for s in source.stream(part, seed, skip) if isinstance(s, RawSample))
    return [sample.text for sample in islice(stream, number)]


def test_each_round_of_a_folder_holds_every_sample_once(colours: Path):
    source = JsonlSource(colours / "captions.jsonl")
    first, second = texts(source, 8)[:4], texts(source, 8)[4:]
    assert sorted(first) == sorted(second) == sorted(set(first))
    assert texts(source, 40, seed=1) != texts(source, 40, seed=2)


def test_parts_share_a_round_between_them(colours: Path):
    source = JsonlSource(colours / "captions.jsonl")
    both = texts(source, 2, Part(0, 2)) + texts(source, 2, Part(1, 2))
    assert Counter(both) == Counter(texts(source, 4))


def test_a_resumed_stream_goes_on_where_it_was(colours: Path):
    source = JsonlSource(colours / "captions.jsonl")
    assert texts(source, 20)[7:] == texts(source, 13, skip=7)


def test_bad_lines_are_named_with_file_and_line(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(picture("red"))
    index = tmp_path / "list.jsonl"
    index.write_text(
        '{"image": "a.jpg", "caption": "a red square"}\n'
        '{"image": "a.jpg", "caption"\n'
        '{"image": "a.jpg"}\n'
        '{"image": "a.jpg", "caption": "struck", "keep": false}\n'
        '{"image": "none.jpg", "caption": "gone"}\n'
    )
    seen = list(islice(JsonlSource(index).stream(Part(), 0), 6))
    bad = {sample.where: sample.why for sample in seen if isinstance(sample, BadSample)}
    assert bad[f"{index}:2"].startswith("no JSON")
    assert bad[f"{index}:3"] == 'no text "caption"'
    assert "none.jpg is missing" in bad[f"{index}:5"]
    assert {s.text for s in seen if isinstance(s, RawSample)} == {"a red square"}


def test_a_set_without_a_usable_sample_is_an_error_that_names_the_place(tmp_path: Path):
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
    with pytest.raises(DatasetError, match="not one image"):
        list(JsonlSource(missing).stream(Part(), 0))


def test_the_published_second_stage_layout(tmp_path: Path):
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
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["A red picture."]
    assert [s.where for s in seen if isinstance(s, BadSample)] == [
        f"{tmp_path / 'filter_cap.json'}: annotations[1]"
    ]
    (tmp_path / "filter_cap.json").write_text('{\n "annotations": [\n')
    with pytest.raises(DatasetError, match=r"filter_cap.json:\d+: no JSON"):
        open_source(str(tmp_path))


def test_shards_group_members_and_name_bad_ones(tmp_path: Path):
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


def test_a_truncated_shard_gives_what_it_has(tmp_path: Path):
    shard = tmp_path / "00000.tar"
    group = {"jpg": picture("red"), "txt": b"one"}
    write_shard(shard, {"000": group, "001": group, "002": {"jpg": bytes(40_000), "txt": b"x"}})
    shard.write_bytes(shard.read_bytes()[:20_000])
    seen = list(read_shard(shard))
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["one", "one"]
    assert isinstance(seen[-1], BadSample)
    assert "tar" in seen[-1].why


def test_shards_without_samples_are_an_error_not_an_endless_loop(tmp_path: Path):
    write_shard(tmp_path / "0.tar", {"000": {"txt": b"no image"}})
    with pytest.raises(DatasetError, match="usable sample"):
        list(ShardSource([tmp_path / "0.tar"]).stream(Part(), 0))


def test_shard_patterns(tmp_path: Path):
    for number in range(3):
        write_shard(tmp_path / f"{number:05}.tar", {"a": {"txt": b"x"}})
    assert len(expand_shards(f"{tmp_path}/{{00000..00002}}.tar")) == 3
    assert len(expand_shards(f"{tmp_path}/*.tar")) == 3
    with pytest.raises(DatasetError, match=r"00003.tar does not exist"):
        expand_shards(f"{tmp_path}/{{00000..00003}}.tar")
    with pytest.raises(DatasetError, match="matches no"):
        open_source(f"{tmp_path}/x*.tar")
