"""What is wrong with files, images or the service is one line; bad items are counted and named."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.errors import EvaluationError
from tests.evaluation.benchmarks.asked import evaluate, knowing, make, values
from tests.evaluation.benchmarks.data_sets import MAKERS, DataSet
from tests.fake_openai import fake_openai, web_site

FILES = {
    "pope": "coco_pope_popular.json",
    "aokvqa-choices": "aokvqa_v1p0_val.json",
    "gqa": "testdev_balanced_questions.json",
    "vqav2": "v2_mscoco_val2014_annotations.json",
    "okvqa": "OpenEnded_mscoco_val2014_questions.json",
    "vizwiz": "val.json",
    "vsr": "test.jsonl",
    "hateful-memes": "dev.jsonl",
    "iconqa": "problems.json",
    "refcoco": "refcoco_val.json",
    "coco-captions": "annotations/captions_val2014.json",
    "chair": "annotations/instances_val2014.json",
}
NOWHERE = "http://127.0.0.1:9"
"""Files are read before the service is asked."""


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["truncated", "wrong field", "missing"])
def test_a_malformed_or_missing_file_is_one_line_that_names_it(
    name: str, fault: str, tmp_path: Path
) -> None:
    data = make(name, tmp_path / "data")
    file = data.folder / FILES[name]
    text = file.read_text()
    if fault == "truncated":
        file.write_text(text[:-9])
    elif fault == "wrong field":
        for field in ("question", "label", "answers", "bbox", "caption", "category_id"):
            text = text.replace(f'"{field}"', f'"{field}_"')
        file.write_text(text)
    else:
        file.unlink()
    with pytest.raises(EvaluationError) as error:
        evaluate(NOWHERE, name, data.folder, tmp_path / "out")
    message = str(error.value)
    assert "\n" not in message
    assert file.name in message or str(data.folder) in message
    if fault == "truncated":
        assert "whole JSON" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", MAKERS)
def test_a_missing_image_is_named_before_anything_is_asked(name: str, tmp_path: Path) -> None:
    data = make(name, tmp_path / "data")
    image = data.known[0][0]
    image.unlink()
    with pytest.raises(EvaluationError, match="Images are missing") as error:
        evaluate(NOWHERE, name, data.folder, tmp_path / "out")
    assert image.name in str(error.value)
    assert "--skip-missing" in str(error.value)


def test_missing_images_can_be_left_out_and_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = make("vsr", tmp_path / "data"), tmp_path / "out"
    data.known[1][0].unlink()
    with (
        fake_openai(knowing(data_without(data, 1))) as url,
        pytest.raises(EvaluationError) as error,
    ):
        evaluate(url, "vsr", data.folder, out, "--skip-missing")
    assert str(error.value).startswith("1 of 4 items have no answer and are not in the scores.")
    results = json.loads((out / "results.json").read_text())
    assert values(results)["accuracy"] == pytest.approx(200 / 3)
    assert results["bad"] == {"1": "There is no image 000000000001.jpg."}
    assert "3 of 4 items have an answer.\n- 1: There is no image" in capsys.readouterr().out


def data_without(data: DataSet, number: int) -> DataSet:
    data.known = [one for at, one in enumerate(data.known) if at != number]
    return data


def test_refused_items_are_named_and_asked_again_by_the_next_run(tmp_path: Path) -> None:
    data, out = make("vsr", tmp_path / "data"), tmp_path / "out"
    whole = list(data.known)
    refused = pytest.raises(EvaluationError, match=r"1 of 4 items.*The first is 2: .*unknown")
    with fake_openai(knowing(data_without(data, 2))) as url, refused:
        evaluate(url, "vsr", data.folder, out)
    asked: list[str] = []
    data.known = whole
    with fake_openai(knowing(data, asked)) as url:
        results = evaluate(url, "vsr", data.folder, out)
    assert len(asked) == 1
    assert not results["bad"]
    assert values(results)["accuracy"] == 50


def test_a_service_that_refuses_everything_or_is_none_is_one_line(tmp_path: Path) -> None:
    data = make("mme", tmp_path / "data")

    def refuse(body: dict[str, Any]) -> tuple[str, int, str]:
        raise ValueError("no images here")

    with (
        fake_openai(refuse) as url,
        pytest.raises(EvaluationError, match="No question is answered"),
    ):
        evaluate(url, "mme", data.folder, tmp_path / "a")
    with web_site() as url, pytest.raises(EvaluationError, match="not an OpenAI-compatible API"):
        evaluate(url, "mme", data.folder, tmp_path / "b")
    with pytest.raises(EvaluationError, match="No service answers"):
        evaluate(NOWHERE, "mme", data.folder, tmp_path / "c")


def test_a_parameter_of_ours_that_another_service_refuses_is_left_out(tmp_path: Path) -> None:
    data, seen = make("vsr", tmp_path / "data"), []
    known = knowing(data)

    def strict(body: dict[str, Any]) -> tuple[str, int, str]:
        seen.append("repetition_penalty" in body)
        if "repetition_penalty" in body:
            raise ValueError("Unrecognized request argument supplied: repetition_penalty")
        return known(body)

    with fake_openai(strict) as url:
        evaluate(url, "vsr", data.folder, tmp_path / "out", "--concurrency", "1")
    assert seen == [True] + [False] * 4


def test_questions_twice_and_faults_between_files_are_named(tmp_path: Path) -> None:
    data = make("pope", tmp_path / "pope")
    file = data.folder / "coco_pope_random.json"
    file.write_text("\n".join([file.read_text().splitlines()[0]] * 2))
    with pytest.raises(EvaluationError, match="question random/1 is there twice"):
        evaluate(NOWHERE, "pope", data.folder, tmp_path / "out")
    data = make("vqav2", tmp_path / "vqa")
    data.write("v2_mscoco_val2014_annotations.json", {"annotations": []})
    with pytest.raises(EvaluationError, match=r"annotations.json has no answers to question 0"):
        evaluate(NOWHERE, "vqav2", data.folder, tmp_path / "out")
    data = make("chair", tmp_path / "chair")
    (data.folder / "synonyms.txt").write_text("person, man\n")
    with pytest.raises(EvaluationError, match=r"synonyms.txt has no category 'dog'"):
        evaluate(NOWHERE, "chair", data.folder, tmp_path / "out")
    data = make("mme", tmp_path / "mme")
    (data.folder / "OCR" / "0.txt").write_text("Is it?\tYes\nIs it?  Maybe\n")
    with pytest.raises(EvaluationError, match=r"OCR/0.txt, line 2: no tab with Yes or No"):
        evaluate(NOWHERE, "mme", data.folder, tmp_path / "out")


def test_the_command_line_gives_one_line_and_status_1(tmp_path: Path) -> None:
    data = make("gqa", tmp_path / "data")
    (data.folder / FILES["gqa"]).write_text('{"1": {"imageId": "n1", ')
    line = [sys.executable, "-m", "service", "evaluate", "--benchmark", "gqa"]
    done = subprocess.run([*line, "--data", str(data.folder)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert FILES["gqa"] in done.stderr
