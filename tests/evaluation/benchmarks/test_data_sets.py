"""Every benchmark on a small data set in its published format, over real HTTP."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import EvaluationError
from service.evaluation.benchmarks.registry import BENCHMARKS
from tests.evaluation.benchmarks.asked import evaluate, knowing, make, values
from tests.evaluation.benchmarks.data_sets import MAKERS
from tests.fake_openai import fake_openai


def test_every_benchmark_has_a_data_set_here() -> None:
    assert {*MAKERS, "refcoco+", "refcocog"} == set(BENCHMARKS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_data_set_is_asked_as_published_and_scored(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = make(name, tmp_path / "data"), tmp_path / "out"
    with fake_openai(knowing(data)) as url:
        results = evaluate(url, name, data.folder, out)
    found = values(results)
    for figure, value in MAKERS[name][1].items():
        assert found[figure] == pytest.approx(value), figure
    for one in results["scores"]:
        assert one["low"] - 1e-9 <= one["value"] <= one["high"] + 1e-9, one
    assert results["settings"]["model"] == "fake"
    shown = capsys.readouterr().out
    assert shown == (out / "results.md").read_text()
    assert all(figure in shown for figure in found)
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")
    lines = (out / "answers.jsonl").read_text().splitlines()
    assert len(lines) == 1 + results["items"]
    assert {"id", "text", "truncated", "tokens", "asked"} == set(json.loads(lines[1]))


def test_refcoco_plus_and_g_have_files_of_their_own(tmp_path: Path) -> None:
    for name in ("refcoco+", "refcocog"):
        data = make("refcoco", tmp_path / name)
        (data.folder / "refcoco_val.json").rename(data.folder / f"{name}_val.json")
        with fake_openai(knowing(data)) as url:
            results = evaluate(url, name, data.folder, tmp_path / f"{name}-out")
        assert values(results)["accuracy at IoU 0.5"] == pytest.approx(100 / 3)


def test_karpathy_split_and_the_list_formats_of_minigpt4(tmp_path: Path) -> None:
    data = make("coco-captions", tmp_path / "captions")
    content = json.loads((data.folder / "annotations/captions_val2014.json").read_text())
    said = {
        image["id"]: [
            one["caption"] for one in content["annotations"] if one["image_id"] == image["id"]
        ]
        for image in content["images"]
    }
    rows = [
        {
            "cocoid": image["id"],
            "filename": image["file_name"],
            "split": "test" if image["id"] else "train",
            "sentences": [{"raw": one, "tokens": []} for one in said[image["id"]]],
        }
        for image in content["images"]
    ]
    data.write("dataset_coco.json", {"images": rows, "dataset": "coco"})
    with fake_openai(knowing(data)) as url:
        words = ("--split", "karpathy-test")
        results = evaluate(url, "coco-captions", data.folder, tmp_path / "out", *words)
    assert results["items"] == 2
    gqa = make("gqa", tmp_path / "gqa")
    rows = json.loads((gqa.folder / "testdev_balanced_questions.json").read_text()).values()
    listed = [{**row, "image": f"{row['imageId']}.jpg"} for row in rows]
    gqa.write("testdev_balanced_questions.json", listed)
    with fake_openai(knowing(gqa)) as url:
        results = evaluate(url, "gqa", gqa.folder, tmp_path / "gqa-out")
    assert values(results)["accuracy"] == pytest.approx(200 / 3)


def test_captions_of_people_count_for_chair_where_they_are_given(tmp_path: Path) -> None:
    data = make("chair", tmp_path / "data")
    people = [{"image_id": 1, "caption": "A dog with cats.", "id": 1}]
    data.write("annotations/captions_val2014.json", {"annotations": people, "images": []})
    with fake_openai(knowing(data)) as url:
        results = evaluate(url, "chair", data.folder, tmp_path / "out")
    assert values(results)["CHAIR_i"] == 0


def test_split_limit_prompt_and_length_reach_the_service(tmp_path: Path) -> None:
    data = make("pope", tmp_path / "data")
    seen = []

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        seen.append(body)
        return "Yes", 1, "length"

    with fake_openai(answer) as url:
        words = ["--split", "popular", "--limit", "2", "--prompt", "Look. {}", "--max-tokens", "9"]
        results = evaluate(url, "pope", data.folder, tmp_path / "out", *words)
        assert results["items"] == results["truncated"] == 2
        assert {body["messages"][0]["content"][1]["text"][:8] for body in seen} == {"Look. Is"}
        assert {(body["max_tokens"], body["temperature"]) for body in seen} == {(9, 0.0)}
        with pytest.raises(EvaluationError, match=r"has no split x; there are all, random"):
            evaluate(url, "pope", data.folder, tmp_path / "x", "--split", "x")
        with pytest.raises(EvaluationError, match=r"with \{\} in it"):
            evaluate(url, "pope", data.folder, tmp_path / "x", "--prompt", "Look.")
        with pytest.raises(EvaluationError, match=r"needs --data"):
            evaluate(url, "pope", None, tmp_path / "x")


def test_chair_has_the_prompts_of_both_papers(tmp_path: Path) -> None:
    data = make("chair", tmp_path / "data")
    asked: list[str] = []

    def answer(body: dict[str, Any]) -> tuple[str, int, str]:
        asked.append(body["messages"][0]["content"][1]["text"])
        return "A dog.", 2, "stop"

    with fake_openai(answer) as url:
        for name in ("long", "pope-1", "pope-2"):
            evaluate(url, "chair", data.folder, tmp_path / name, "--prompt", name, "--limit", "1")
    assert asked == [
        "Please describe this image as detailed as possible.",
        "Generate a short caption of the image.",
        "Provide a brief description of the given image.",
    ]
