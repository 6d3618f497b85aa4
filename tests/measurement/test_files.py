"""A file at fault is one line with its name."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from service.errors import EvaluationError
from service.measurement.files import ImageFolder, find_file, read_json, read_json_lines


class Row(BaseModel):
    id: int
    text: str


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('[{"id": 1, "text": "a"}, {"id": 2', "not whole JSON: EOF"),
        (
            '[{"id": 1, "text": "a"}, {"id": "x", "text": "b"}]',
            r"\[1\].id: Input should be a valid",
        ),
        ('[{"id": 1}]', r"\[0\].text: Field required"),
        ('[{"idd": 1}]', r"More faults: 1"),
        ('{"id": 1}', "the content: Input should be a valid array"),
    ],
)
def test_a_fault_names_file_and_place(tmp_path: Path, content: str, fault: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(content)
    with pytest.raises(EvaluationError, match=f"^{re.escape(str(file))}: .*{fault}.*$"):
        read_json(file, list[Row])


def test_lines_are_numbered_and_a_list_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": 1, "text": "a"}\n\n{"id": 2, "text": "b"}\n{"id": 3, "te')
    with pytest.raises(EvaluationError, match=r"rows.jsonl, line 4: this is not whole JSON"):
        read_json_lines(file, Row)
    file.write_text('[{"id": 1, "text": "a"}]')
    assert read_json_lines(file, Row) == [Row(id=1, text="a")]
    with pytest.raises(EvaluationError, match=r"nothing.json cannot be read: No such file"):
        read_json(tmp_path / "nothing.json", Row)


def test_files_are_found_one_level_below_and_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "coco_pope_random.json"
    file.touch()
    assert find_file(tmp_path, "x.json", "*pope_random.json") == file
    with pytest.raises(EvaluationError, match=r"has no file x.json or y.json\.$"):
        find_file(tmp_path, "x.json", "y.json")
    file.with_name("gqa_pope_random.json").touch()
    with pytest.raises(EvaluationError, match="several files"):
        find_file(tmp_path, "*pope_random.json")
    with pytest.raises(EvaluationError, match=r"nowhere is not a folder"):
        find_file(tmp_path / "nowhere", "x.json")


def test_images_are_found_by_any_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "val2014").mkdir()
    image = tmp_path / "val2014" / "1.jpg"
    image.touch()
    folder = ImageFolder([tmp_path])
    assert folder.find("COCO_1.jpg", "1.jpg") == folder.find("val2014/1.jpg") == image
    assert folder.find("2.jpg") is None
    assert folder.find("other/1.jpg") is None, "another folder's image of the same name"
    with pytest.raises(EvaluationError, match="is not a folder"):
        ImageFolder([tmp_path / "nowhere"])
