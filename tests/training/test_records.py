"""Instructions, conversations and several images in lists: what is read, and what is refused."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from service.errors import DatasetError
from service.training.batches import Batches
from service.training.held_out import check_texts
from service.training.image_lists import ImageListSource
from service.training.presets import PRESETS
from service.training.records import BadRecordError, parse_turns
from service.training.samples import Part, RawSample, Turn
from service.training.sources import open_data_set
from tests.training.conftest import picture, take, write_shard


def talk(*texts: str) -> list[dict[str, str]]:
    """A conversation in LLaVA's format."""
    return [
        {"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("record", "images", "expected"),
    [
        ({"caption": "a cat"}, 1, [(None, "a cat")]),
        ({"instruction": "What?", "answer": " A cat. "}, 1, [(("", "What?"), "A cat.")]),
        ({"instruction": "Hello.", "answer": "Hi."}, 0, [(("Hello.",), "Hi.")]),
        (
            {"instruction": "Is <image> like <ImageHere>?", "answer": "No."},
            2,
            [(("Is", "like", "?"), "No.")],
        ),
        ({"instruction": "Compare.", "answer": "No."}, 2, [(("", "", "Compare."), "No.")]),
        # Images after all of the text stand before it.
        ({"instruction": "What?\n<image>", "answer": "A cat."}, 1, [(("", "What?"), "A cat.")]),
        (
            {"conversations": talk("<image>\nWhat?", "A cat.", "And <image>?", "A dog.")},
            2,
            [(("", "What?"), "A cat."), (("And", "?"), "A dog.")],
        ),
        (
            {"conversations": talk("What?", "A cat.", "Sure?", "Yes.")},
            1,
            [(("", "What?"), "A cat."), (("Sure?",), "Yes.")],
        ),
    ],
)
def test_the_turns_of_a_record(record: dict[str, Any], images: int, expected: Any) -> None:
    assert parse_turns(record, images) == tuple(Turn(*pair) for pair in expected)


@pytest.mark.parametrize(
    ("record", "images", "kind", "detail"),
    [
        ({"caption": "a", "answer": "b"}, 1, "two kinds of text", "caption and answer"),
        ({"caption": "a", "conversations": []}, 1, "two kinds of text", "caption and conv"),
        ({"instruction": "What?"}, 1, "no answer", ""),
        ({"instruction": "What?", "answer": " "}, 1, "no answer", ""),
        ({"answer": "A cat."}, 1, "an unusable text", "no instruction"),
        ({"instruction": "\ud83d", "answer": "a"}, 1, "an unusable text", "not valid text"),
        ({"instruction": "<image>", "answer": "a"}, 2, "image tags that do not", "1 tags, 2"),
        ({"instruction": "a", "answer": "<image>"}, 1, "image tags that do not", "in an answer"),
        ({"conversations": talk("a")}, 1, "turns out of order", "alternate"),
        ({"conversations": talk("a", "b")[::-1]}, 1, "turns out of order", "from 'gpt'"),
        (
            {"conversations": [{"from": "human", "value": "a", "n": 1}, *talk("b", "c")[1:]]},
            1,
            "turns out of order",
            "no other field",
        ),
        ({"conversations": 5}, 1, "turns out of order", ""),
        ({"caption": "a"}, 2, "no image", "one image"),
    ],
)
def test_a_record_that_cannot_be_learnt_says_why(
    record: dict[str, Any], images: int, kind: str, detail: str
) -> None:
    with pytest.raises(BadRecordError) as refused:
        parse_turns(record, images)
    assert refused.value.kind.startswith(kind)
    assert detail in refused.value.detail


def write(folder: Path, *records: dict[str, Any], name: str = "list.jsonl") -> Path:
    for colour in ("red", "blue"):
        (folder / f"{colour}.jpg").write_bytes(picture(colour))
    lines = [json.dumps(record) for record in records]
    text = "\n".join(lines) if name.endswith("jsonl") else f"[{','.join(lines)}]"
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("name", ["list.jsonl", "list.json"])
def test_an_unknown_field_is_refused_with_its_name_and_place(tmp_path: Path, name: str) -> None:
    good = {"image": "red.jpg", "caption": "red"}
    file = write(tmp_path, good, good | {"instrution": "What?"}, name=name)
    place = ":2" if name.endswith("jsonl") else ": [1]"
    with pytest.raises(DatasetError) as refused:
        open_data_set(str(file))
    assert f"{file}{place}: the field 'instrution' is unknown" in str(refused.value)


def test_images_of_a_json_list_start_at_the_given_folder(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "images").mkdir()
    record = {"id": 1, "image": "red.jpg", "conversations": talk("<image>\nWhat?", "Red.")}
    write(tmp_path / "images", record)
    file = write(tmp_path / "lists", record, name="llava.json")
    for picture_file in (tmp_path / "lists").glob("*.jpg"):
        picture_file.unlink()
    source = open_data_set(str(file), tmp_path / "images")
    (sample,) = islice(source.stream(Part(), 0), 1)
    assert isinstance(sample, RawSample)
    assert sample.turns == (Turn(("", "What?"), "Red."),)
    assert (file.parent / "llava.json").read_text().startswith("[")
    (tmp_path / "five.json").write_text("5")
    with pytest.raises(DatasetError, match=r"five\.json holds no list of records"):
        open_data_set(str(tmp_path / "five.json"))


def test_a_batch_holds_the_images_of_all_samples_in_their_order(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        {"images": ["red.jpg", "blue.jpg"], "instruction": "Compare.", "answer": "Red and blue."},
        {"image": "blue.jpg", "instruction": "Which?", "answer": "Blue."},
        {"instruction": "Hello.", "answer": "Hi."},
    )
    (batch,) = take(Batches([open_data_set(str(file))], [1.0], samples=3, image_size=14), 1)
    colours = ["red" if pixel[0] > 128 else "blue" for pixel in batch.pixels[:, 0, 0]]
    expected = {"Red and blue.": ["red", "blue"], "Blue.": ["blue"], "Hi.": []}
    assert colours == [colour for text in batch.texts for colour in expected[text]]
    assert [sum(turn.images for turn in turns) for turns in batch.conversations] == [
        len(expected[text]) for text in batch.texts
    ]


def test_a_shards_sample_may_hold_a_conversation_and_other_fields(tmp_path: Path) -> None:
    record = {"conversations": talk("What?", "Red."), "url": "x", "sha256": "y"}
    write_shard(
        tmp_path / "a.tar", {"0": {"jpg": picture("red"), "json": json.dumps(record).encode()}}
    )
    (sample,) = islice(open_data_set(str(tmp_path / "a.tar")).stream(Part(), 0), 1)
    assert isinstance(sample, RawSample)
    assert sample.turns == (Turn(("", "What?"), "Red."),)


def test_stage_1_refuses_instructions(tmp_path: Path) -> None:
    record = {"image": "red.jpg", "instruction": "Which?", "answer": "Red."}
    source = open_data_set(str(write(tmp_path, record)))
    with pytest.raises(DatasetError, match="stage 1 learns captions alone"):
        check_texts(PRESETS["stage1"], [source])
    check_texts(PRESETS["stage2"], [source])


def test_the_two_parts_of_a_list_share_no_image(tmp_path: Path) -> None:
    records = [
        {"image": f"{n % 10}.jpg", "instruction": f"What is {n}?", "answer": "a"} for n in range(30)
    ]
    source = open_data_set(str(write(tmp_path, *records)))
    assert isinstance(source, ImageListSource)
    train, held_out = source.split(0.2, seed=0)
    images = [{entry.images for entry in part.entries} for part in (train, held_out)]
    assert (len(train.entries), len(held_out.entries)) == (24, 6)
    assert not images[0] & images[1]
    assert [e.where for e in source.split(0.2, seed=0)[1].entries] == [
        e.where for e in held_out.entries
    ]
    for share in (0.01, 0.99):
        with pytest.raises(DatasetError, match="leaves nothing to"):
            source.split(share, seed=0)
