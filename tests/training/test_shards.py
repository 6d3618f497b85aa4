"""WebDataset shards: their samples, their bad samples, and their errors."""

from pathlib import Path

import pytest

from service.errors import DatasetError
from service.training.samples import BadSample, Part, RawSample
from service.training.shards import ShardSource, expand_shards, read_shard
from service.training.sources import open_data_set
from tests.training.conftest import picture, read_texts, write_shard


def test_each_fault_of_a_caption_is_a_bad_sample(tmp_path: Path) -> None:
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
        "a caption that is not valid text",
        "no caption",
        "a caption with the image tag",
        "no caption",
    ]


def test_shards_of_other_sizes_have_another_name(tmp_path: Path) -> None:
    def name(caption: bytes) -> str:
        write_shard(tmp_path / "0.tar", {"a": {"txt": caption}})
        return open_data_set(str(tmp_path)).name

    assert name(b"one") == name(b"two")
    assert name(b"one") != name(b"one" * 10_000)


def test_members_with_one_name_are_a_sample_and_bad_samples_are_named(tmp_path: Path) -> None:
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


def test_a_truncated_shard_yields_its_whole_samples(tmp_path: Path) -> None:
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
def test_a_damaged_header_is_one_bad_sample(tmp_path: Path, damage: bytes, detail: str) -> None:
    shard = tmp_path / "00000.tar"
    group = {"jpg": picture("red"), "txt": b"one"}
    write_shard(shard, {f"{number:03}": group for number in range(20)})
    content = shard.read_bytes()
    place = content.index(b"005.jpg")
    shard.write_bytes(content[:place] + damage + content[place + 512 :])
    seen = list(read_shard(shard))
    assert len([s for s in seen if isinstance(s, RawSample)]) == 4
    assert seen[4:] == [BadSample(str(shard), "a damaged shard", detail)]


def test_a_shard_that_ends_within_a_header_is_one_bad_sample(tmp_path: Path) -> None:
    shard = tmp_path / "00000.tar"
    group = {"jpg": picture("red"), "txt": b"one"}
    write_shard(shard, {"000": group, "001": group})
    shard.write_bytes(shard.read_bytes()[: shard.read_bytes().index(b"001.txt") + 100])
    seen = list(read_shard(shard))
    assert [s.text for s in seen if isinstance(s, RawSample)] == ["one"]
    assert str(seen[-1]).endswith("a damaged shard: a damaged header (truncated header)")


@pytest.mark.parametrize("content", [b"", b"garbage"], ids=["empty", "garbage"])
def test_a_bad_shard_does_not_stop_the_stream(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0.tar").write_bytes(content)
    write_shard(tmp_path / "1.tar", {"000": {"jpg": picture("red"), "txt": b"one"}})
    for seed in range(5):
        assert read_texts(open_data_set(str(tmp_path)), 700, seed=seed) == ["one"] * 700


def test_shards_without_samples_are_an_error_instead_of_an_endless_loop(tmp_path: Path) -> None:
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
        open_data_set(f"{tmp_path}/x*.tar")
