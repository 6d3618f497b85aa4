"""Caption coverage with a stand-in system and judge."""

import json
from pathlib import Path

import pytest

from service.errors import EvaluationError
from service.experiments.judge import read_numbered, read_yes_no
from tests.experiments.stand_ins import draw, experiment, saying
from tests.fake_openai import fake_openai


def make(tmp_path: Path) -> Path:
    draw(tmp_path / "val2014", "0.jpg", "1.jpg", "2.jpg")
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(3)]
    captions = [
        {"image_id": number, "caption": f"caption {at} of {number}\n", "id": 9}
        for number in range(3)
        for at in range(4)
    ]
    content = {"images": images, "annotations": captions}
    (tmp_path / "captions_val2014.json").write_text(json.dumps(content))
    return tmp_path


def judge_all(text: str) -> str:
    """Say yes to the first two captions of each image."""
    assert text.count("\nTest: A dog.") == 1
    assert "4: caption 3" in text
    return "1: yes\n2: (yes)\n3: no\n4: No."


def test_all_captions_of_an_image_are_judged_together(tmp_path: Path) -> None:
    data, out = make(tmp_path), tmp_path / "out"
    with fake_openai(saying(lambda _: "A dog.")) as url, fake_openai(saying(judge_all)) as judge:
        words = ["--data", str(data), "--out", str(out), "--system", f"x={url}"]
        experiment("caption-coverage", *words, "--judge", f"j={judge}")
    found = json.loads((out / "results.json").read_text())
    assert {one["name"]: one["value"] for one in found["scores"]} == {
        "x: captions covered for each image": 2,
        "x: share of captions": 50,
    }
    assert not found["left_out"]


def test_one_caption_an_image_and_unreadable_verdicts(tmp_path: Path) -> None:
    data, out, asked = make(tmp_path), tmp_path / "out", []

    def judge_one(text: str) -> str:
        asked.append(text)
        return "Maybe." if "of 2'" in text else "Yes" if "of 1'" in text else "no."

    with fake_openai(saying(lambda _: "A dog.")) as url, fake_openai(saying(judge_one)) as judge:
        words = ["--data", str(data), "--out", str(out), "--system", f"x={url}"]
        words += ["--judge", f"j={judge}", "--protocol", "one"]
        experiment("caption-coverage", *words)
        with pytest.raises(EvaluationError, match=r"prompt|longest"):
            experiment("caption-coverage", *words, "--max-tokens", "7")
    assert len(asked) == 3
    assert all("image caption2 'A dog.'" in text for text in asked)
    found = json.loads((out / "results.json").read_text())
    assert [one["value"] for one in found["scores"]] == [50]
    assert list(found["left_out"]) == ["2 (x)"]


def test_faults_are_one_line(tmp_path: Path) -> None:
    data = make(tmp_path)
    words = ["--data", str(data), "--system", "x=http://127.0.0.1:9", "--out", str(tmp_path / "o")]
    with pytest.raises(EvaluationError, match="needs --judge"):
        experiment("caption-coverage", *words)
    (data / "val2014" / "1.jpg").unlink()
    words += ["--judge", "j=http://127.0.0.1:9"]
    with pytest.raises(EvaluationError, match=r"Images are missing \(1\): 1.jpg\."):
        experiment("caption-coverage", *words)
    (data / "captions_val2014.json").write_text('{"images": [')
    with pytest.raises(EvaluationError, match=r"captions_val2014.json: this is not whole JSON"):
        experiment("caption-coverage", *words)


def test_verdicts_are_read_from_free_text() -> None:
    assert read_numbered("1: yes\n2. No\n3) (yes)", 4) == [True, False, True, None]
    assert read_yes_no("Answer: Yes.") is True
    assert read_yes_no("It does not; no") is False
    assert read_yes_no("Nothing") is None
