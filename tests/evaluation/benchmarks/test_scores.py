"""Scores against the published programs' results on the same predictions.

``published_scores.json`` holds made-up predictions and what the programs gave for them:
RUCAIBox/POPE ``evaluate.py``; GT-Vision-Lab/VQA ``vqaEval.py``; allenai/aokvqa
``eval_predictions.py``; the counting of Vision-CAIR/MiniGPT-4 ``eval_ref.py``;
LisaAnne/Hallucination ``chair.py`` with NLTK's words and *pattern*'s singulars; pycocoevalcap 1.2
with its Java tokenizer.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from service.evaluation.benchmarks.benchmark import Item
from service.evaluation.benchmarks.caption_words import split_words
from service.evaluation.benchmarks.chair_objects import objects_in, read_synonyms
from service.evaluation.benchmarks.choices import choose
from service.evaluation.benchmarks.mme import read_label
from service.evaluation.benchmarks.refcoco import overlap, parse_box
from service.evaluation.benchmarks.registry import BENCHMARKS
from service.evaluation.benchmarks.vizwiz import simple_accuracy
from service.evaluation.benchmarks.vqa_normalisation import normalise, vqa_accuracy
from service.measurement.intervals import Score

PUBLISHED = json.loads((Path(__file__).parent / "published_scores.json").read_text())


def scored(
    name: str, truths: list[Any], answers: list[str], parts: list[str] | None = None
) -> dict[str, Score]:
    parts = parts or [""] * len(truths)
    items = [
        Item(str(number), (f"{number}.jpg",), "", truth, part)
        for number, (truth, part) in enumerate(zip(truths, parts, strict=True))
    ]
    return {one.name: one for one in BENCHMARKS[name].score(items, answers)}


def test_pope() -> None:
    data = PUBLISHED["pope"]
    found = scored("pope", data["labels"], data["answers"], ["random"] * len(data["labels"]))
    assert {name: found[f"random: {name}"].value for name in data["expected"]} == pytest.approx(
        data["expected"]
    )


def test_vqa_accuracy() -> None:
    rows = PUBLISHED["vqa"]["rows"]
    for row in rows:
        found = 100 * vqa_accuracy(row["answer"], row["people"])
        assert found == pytest.approx(row["expected"]), row
    mean = sum(row["expected"] for row in rows) / len(rows)
    assert mean == pytest.approx(PUBLISHED["vqa"]["overall"])
    # MiniGPT-4's copy ignores case where people agree; the official program does not.
    assert vqa_accuracy("Yes", ["yes"] * 10) == 0
    assert vqa_accuracy("Yes", ["yes"] * 10, fold_case=True) == 1


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Dont", "don't"),
        ("couldn'tve", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("The two cats.", "2 cats"),
        ("none", "0"),
        ("1,000 a.m.", "1000 am"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("3.5", "3.5"),
        ("an apple?", "apple"),
    ],
)
def test_normalisation(text: str, normal: str) -> None:
    assert normalise(text) == normal


def test_vizwiz_as_minigpt_v2_counts() -> None:
    assert simple_accuracy("Can", ["can", "CAN", "tin"]) == pytest.approx(2 / 3)
    assert simple_accuracy("the can", ["can"] * 10) == 0


def test_aokvqa() -> None:
    data = PUBLISHED["aokvqa"]
    rows, expected = data["data"], data["expected"]
    truths = [(row["choices"], row["correct_choice_idx"]) for row in rows]
    answers = [data["choices"][row["question_id"]] for row in rows]
    found = scored("aokvqa-choices", truths, answers)
    assert found["accuracy"].value == pytest.approx(expected["choices"])
    easy = [row for row in rows if not row["difficult_direct_answer"]]
    answers = [data["direct"][row["question_id"]] for row in easy]
    found = scored("aokvqa-direct", [row["direct_answers"] for row in easy], answers)
    assert found["accuracy"].value == pytest.approx(expected["direct"])


def test_choices_are_found_in_free_answers() -> None:
    choices = ["ski", "skiing", "water ski", "None of these"]
    for answer, index in [("Skiing.", 1), ("a water ski", 2), ("none of these!", 3), ("skii", 0)]:
        assert choose(answer, choices) == index


def test_refcoco() -> None:
    data = PUBLISHED["refcoco"]
    truths = []
    for row in data["data"]:
        left, top, width, height = row["bbox"]
        box = (left, top, left + width, top + height)
        truths.append((box, row["width"], row["height"]))
    found = scored("refcoco", truths, data["answers"])
    assert found["accuracy at IoU 0.5"].value == pytest.approx(data["expected"])


def test_refcoco_scores_each_question_where_ids_name_images(tmp_path: Path) -> None:
    rows = [
        {"img_id": "COCO_x", "sents": "a", "bbox": [0, 0, 50, 50], "height": 100, "width": 100},
        {"img_id": "COCO_x", "sents": "b", "bbox": [50, 50, 50, 50], "height": 100, "width": 100},
    ]
    (tmp_path / "refcoco_val.json").write_text(json.dumps(rows))
    benchmark = BENCHMARKS["refcoco"]
    items = benchmark.read(tmp_path, "val")
    assert len({item.id for item in items}) == 2
    scores = benchmark.score(items, ["{<0><0><50><50>}", "{<50><50><100><100>}"])
    assert scores[0].value == 100


def test_boxes() -> None:
    assert parse_box("{<10> <20><30><40>} x", 200, 100) == (20, 20, 60, 40)
    assert parse_box("It is at {<10><20><30><40>}", 200, 100) is None
    assert parse_box("{<10><20><30><40>}<delim>{<1><2><3><4>}", 200, 100) is None
    assert parse_box("{<1000><20><30><40>}", 200, 100) is None
    assert overlap((0, 0, 9, 9), (0, 0, 9, 9)) == 1
    assert overlap((0, 0, 9, 9), (0, 0, 9, 4)) == 0.5
    assert overlap((0, 0, 9, 9), (50, 50, 60, 60)) == 0


def test_mme_reads_four_letters() -> None:
    labels = ["Yes", "yes, it is", "No.", " No", "not at all", "It is not", "1. Yes", ""]
    expected = ["yes", "yes", "no", "no", "no", "other", "other", "other"]
    assert [read_label(one) for one in labels] == expected


def test_chair(tmp_path: Path) -> None:
    data = PUBLISHED["chair"]
    (tmp_path / "synonyms.txt").write_text("\n".join(data["synonyms"]))
    synonyms = read_synonyms(tmp_path / "synonyms.txt")
    truths = []
    for number, present in data["segments"].items():
        found = {synonyms[name] for name in present}
        for caption in data["people"].get(number, []):
            found |= set(objects_in(caption, synonyms))
        truths.append((sorted(found), synonyms))
    scores = scored("chair", truths, list(data["captions"].values()))
    assert {name: scores[name].value for name in data["expected"]} == pytest.approx(
        data["expected"]
    )


def test_chair_keeps_the_published_singulars(tmp_path: Path) -> None:
    (tmp_path / "synonyms.txt").write_text("bus\ntie\nknife\nperson, man\nwine glass\n")
    synonyms = read_synonyms(tmp_path / "synonyms.txt")
    assert objects_in("a bus and ties", synonyms) == []
    assert objects_in("buses and a tie", synonyms) == ["bus", "tie"]
    assert objects_in("Men's knives, wine glasses", synonyms) == ["person", "knife", "wine glass"]


def test_captions() -> None:
    data = PUBLISHED["captions"]
    for number, captions in data["references"].items():
        assert [split_words(one) for one in captions] == data["words"][number]
    truths = list(data["references"].values())
    found = scored("coco-captions", truths, list(data["answers"].values()))
    assert {name: found[name].value for name in data["expected"]} == pytest.approx(data["expected"])


def test_captions_without_words_score_nothing() -> None:
    found = scored("coco-captions", [["a cat"], ["a dog"]], ["", "..."])
    assert found["CIDEr"].value == 0
    assert found["BLEU-4"].value == pytest.approx(0, abs=1e-6)
