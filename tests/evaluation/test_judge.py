"""Answers are judged by their facts, and failures as the paper counts them."""

import json

import pytest

from service.evaluation.judge import is_right, judge_text, mentions, said_yes_or_no
from service.scenes.conversations.asking import MAKERS, ask
from service.scenes.conversations.descriptions import description
from service.scenes.conversations.two_images import compare
from service.scenes.conversations.wording import Turn
from service.scenes.scene import Scene, SceneObject, draw_scene, rng_for

SCENE = Scene(
    "white",
    (
        SceneObject("circle", "red", "large", 0),
        SceneObject("word", "blue", "small", 4, "stop"),
        SceneObject("circle", "red", "small", 8),
    ),
)
TEXT = (
    "The picture shows three objects on a white background. There is a large red circle in the top "
    'left corner. The small word "stop" in blue is in the middle. A small red circle is in the bottom '
    "right corner."
)


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "beyond"])
def test_every_true_answer_is_right_and_another_scene_s_mostly_is_not(kind: str) -> None:
    wrong = 0
    for index in range(60):
        rng = rng_for(f"judge/{kind}", index)
        turn = ask(draw_scene(rng), rng, kind)
        if not turn.expected:
            return
        assert is_right(turn, turn.answer), turn
        other = ask(draw_scene(rng), rng, kind)
        if other.kind == turn.kind and other.expected != turn.expected:
            wrong += 1
            assert not is_right(turn, other.answer), (turn, other)
    assert wrong > 10


def test_comparisons_are_judged() -> None:
    for index in range(80):
        rng = rng_for("judge/compare", index)
        turn = compare(draw_scene(rng), draw_scene(rng), rng)
        if turn.expected:
            assert is_right(turn, turn.answer), turn


@pytest.mark.parametrize(
    ("kind", "expected", "answer", "right"),
    [
        ("colour", "red", "Red!", True),
        ("colour", "red", "It is red or blue.", False),
        ("count", "3", "I see 3 of them.", True),
        ("count", "3", "There are four circles.", False),
        ("count", "0", "There are no circles.", True),
        (
            "count",
            "1",
            "At the top a star (one), in the middle a ring, so there is one star.",
            True,
        ),
        (
            "count",
            "2",
            "At the top a star (one), on the left a star (two), so there is one star.",
            False,
        ),
        ("count", "1", "At the top a star (one).", True),
        ("count", "2", "At the top a star (one), so there are some.", False),
        (
            "compare",
            "second",
            "The first shows two and the second shows six, so the second has more.",
            True,
        ),
        (
            "compare",
            "first",
            "The first shows two and the second shows six, so the second has more.",
            False,
        ),
        ("compare", "first", "The first shows more than the second.", False),
        ("exists", "yes", "At the top a star, so yes.", True),
        ("exists", "yes", "At the top a star.", False),
        ("exists", "no", "At the top a star, so yes.", False),
        ("exists", "no", "No, there is none.", True),
        ("exists", "no", "There is no star.", True),
        ("exists", "yes", "There is no star.", False),
        ("count", "1", "There are 10 stars.", False),
        ("count", "3", "I count 37 of them.", False),
        ("where", "top", "It is in the top left corner.", False),
        ("relation", "above and to the left of", "To the left and above.", True),
        ("relation", "above and to the left of", "It is above the star.", False),
        ("relation", "above", "It is above. It is to the left, so it is above.", True),
        ("relation", "above", "It is above, so it is below.", False),
        ("written", "nothing", "", False),
        ("place", "red circle", "A circle, red.", True),
        ("place", "red circle", "A red circle, a blue star and a green heart.", False),
        ("place", "red circle", "A red star and a blue circle.", False),
        ("place", "stop", 'The word "stop" in red.', True),
        ("place", "stop", 'The word "stop" or "go".', False),
        ("place", "7", "The digit 7 in red.", True),
    ],
)
def test_wording_does_not_matter_but_facts_do(
    kind: str, expected: str, answer: str, right: bool
) -> None:
    assert is_right(Turn(kind, "?", "", expected), answer) is right


def test_a_true_description_has_no_fault() -> None:
    verdict = judge_text(SCENE, TEXT, cut=False)
    assert not verdict.failed
    assert (verdict.mentioned, verdict.hallucinated, verdict.missed) == (3, 0, 0)
    for index in range(100):
        rng = rng_for("judge/description", index)
        scene = draw_scene(rng)
        text = description(scene, rng)
        verdict = judge_text(scene, text, cut=False)
        assert not verdict.failed, text
        assert (verdict.hallucinated, verdict.missed) == (0, 0), text


def test_hallucinated_and_missed_objects_are_counted() -> None:
    verdict = judge_text(SCENE, TEXT.replace("A small red circle", "A small red star"), cut=False)
    assert (verdict.mentioned, verdict.hallucinated, verdict.missed) == (3, 1, 1)
    third = TEXT + " There is a small red circle at the top."
    assert judge_text(SCENE, third, cut=False).hallucinated == 1


def test_failures_are_told_apart() -> None:
    assert judge_text(SCENE, TEXT, cut=True).unfinished
    assert judge_text(SCENE, TEXT.rstrip("."), cut=False).unfinished
    assert judge_text(SCENE, "", cut=False).fragment
    assert judge_text(SCENE, "A red circle. Blue.", cut=False).fragment
    twice = "There is a circle on the left. There is a circle on the left."
    assert judge_text(SCENE, twice, cut=False).repeated
    assert judge_text(SCENE, "There is a red red red circle.", cut=False).repeated


def test_poems_may_repeat_an_object_but_not_a_line() -> None:
    poem = "I saw the red circle shine,\nthe red circle is mine.\nIt sings,\nit swings."
    verdict = judge_text(SCENE, poem, cut=False, poem=True)
    assert not verdict.failed
    assert verdict.hallucinated == 0
    assert judge_text(SCENE, "It sings,\nIt sings,\nit swings.", cut=False, poem=True).repeated


def test_mentions_and_yes_or_no() -> None:
    assert mentions('a red star, the digit 7 in blue and the word "no" in pink') == {
        "red star": 1,
        "blue 7": 1,
        "pink no": 1,
    }
    assert said_yes_or_no(" Yes, there is.") == "yes"
    assert said_yes_or_no("Nothing.") == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Two red stars and 3 small green hearts.", {"red star": 2, "green heart": 3}),
        ("There are blue crosses.", {"blue cross": 2}),
        ("A circle that is red, and a star in pink.", {"red circle": 1, "pink star": 1}),
        ("One large black ring.", {"black ring": 1}),
        ("No red stars, and no blue star.", {}),
    ],
)
def test_objects_are_found_however_they_are_named(text: str, named: dict[str, int]) -> None:
    assert +mentions(text) == named


def test_json_is_right_if_every_object_is() -> None:
    rng = rng_for("judge/json", 0)
    scene = draw_scene(rng)
    turn = ask(scene, rng, "json")
    assert is_right(turn, turn.answer)
    shown = json.loads(turn.answer)
    assert is_right(turn, json.dumps({**shown, "objects": shown["objects"][::-1]}, indent=1))
    assert not is_right(turn, json.dumps({**shown, "objects": shown["objects"][1:]}))
    assert not is_right(turn, json.dumps({**shown, "background": "pink"}))
    for answer in ("", "[]", "{}", '{"objects": 5}', turn.answer[:-2], "[" * 100_000):
        assert not is_right(turn, answer)
