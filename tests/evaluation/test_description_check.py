"""Failures of descriptions and poems, and their objects compared with the scene's."""

import pytest

from service.evaluation.description_check import check_description, count_objects
from service.scenes.conversations.descriptions import make_description
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


def test_a_true_description_has_no_fault() -> None:
    verdict = check_description(SCENE, TEXT, truncated=False)
    assert not verdict.failed
    assert (verdict.mentioned, verdict.hallucinated, verdict.missed) == (3, 0, 0)
    for index in range(100):
        rng = rng_for("judge/description", index)
        scene = draw_scene(rng)
        text = make_description(scene, rng)
        verdict = check_description(scene, text, truncated=False)
        assert not verdict.failed, text
        assert (verdict.hallucinated, verdict.missed) == (0, 0), text


def test_hallucinated_and_missed_objects_are_counted() -> None:
    verdict = check_description(
        SCENE, TEXT.replace("A small red circle", "A small red star"), truncated=False
    )
    assert (verdict.mentioned, verdict.hallucinated, verdict.missed) == (3, 1, 1)
    third = TEXT + " There is a small red circle at the top."
    assert check_description(SCENE, third, truncated=False).hallucinated == 1


def test_each_kind_of_failure_is_found() -> None:
    assert check_description(SCENE, TEXT, truncated=True).unfinished
    assert check_description(SCENE, TEXT.rstrip("."), truncated=False).unfinished
    assert check_description(SCENE, "", truncated=False).fragment
    assert check_description(SCENE, "A red circle. Blue.", truncated=False).fragment
    twice = "There is a circle on the left. There is a circle on the left."
    assert check_description(SCENE, twice, truncated=False).repeated
    assert check_description(SCENE, "There is a red red red circle.", truncated=False).repeated


def test_poems_may_repeat_an_object_but_not_a_line() -> None:
    poem = "I saw the red circle shine,\nthe red circle is mine.\nIt sings,\nit swings."
    verdict = check_description(SCENE, poem, truncated=False, poem=True)
    assert not verdict.failed
    assert verdict.hallucinated == 0
    assert check_description(
        SCENE, "It sings,\nIt sings,\nit swings.", truncated=False, poem=True
    ).repeated


def test_words_and_digits_are_objects() -> None:
    assert count_objects('a red star, the digit 7 in blue and the word "no" in pink') == {
        "red star": 1,
        "blue 7": 1,
        "pink no": 1,
    }


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
def test_objects_are_found_in_every_wording(text: str, named: dict[str, int]) -> None:
    assert +count_objects(text) == named
