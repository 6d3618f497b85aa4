"""Answers are checked by their facts, whatever their wording."""

import json

import pytest

from service.evaluation.answer_check import find_yes_or_no, is_correct
from service.scenes.conversations.asking import MAKERS, ask
from service.scenes.conversations.two_images import compare
from service.scenes.conversations.wording import Turn
from service.scenes.scene import draw_scene, rng_for


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "beyond"])
def test_a_true_answer_is_correct_and_that_of_another_scene_is_not(kind: str) -> None:
    wrong = 0
    for index in range(60):
        rng = rng_for(f"judge/{kind}", index)
        turn = ask(draw_scene(rng), rng, kind)
        if not turn.expected:
            return
        assert is_correct(turn, turn.answer), turn
        other = ask(draw_scene(rng), rng, kind)
        if other.kind == turn.kind and other.expected != turn.expected:
            wrong += 1
            assert not is_correct(turn, other.answer), (turn, other)
    assert wrong > 10


def test_a_true_comparison_is_correct() -> None:
    for index in range(80):
        rng = rng_for("judge/compare", index)
        turn = compare(draw_scene(rng), draw_scene(rng), rng)
        if turn.expected:
            assert is_correct(turn, turn.answer), turn


@pytest.mark.parametrize(
    ("kind", "expected", "answer", "correct"),
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
    kind: str, expected: str, answer: str, correct: bool
) -> None:
    assert is_correct(Turn(kind, "?", "", expected), answer) is correct


def test_json_is_correct_if_every_object_is() -> None:
    rng = rng_for("judge/json", 0)
    scene = draw_scene(rng)
    turn = ask(scene, rng, "json")
    assert is_correct(turn, turn.answer)
    shown = json.loads(turn.answer)
    assert is_correct(turn, json.dumps({**shown, "objects": shown["objects"][::-1]}, indent=1))
    assert not is_correct(turn, json.dumps({**shown, "objects": shown["objects"][1:]}))
    assert not is_correct(turn, json.dumps({**shown, "background": "pink"}))
    for answer in ("", "[]", "{}", '{"objects": 5}', turn.answer[:-2], "[" * 100_000):
        assert not is_correct(turn, answer)


def test_yes_and_no_are_found() -> None:
    assert find_yes_or_no(" Yes, there is.") == "yes"
    assert find_yes_or_no("Nothing.") == ""
