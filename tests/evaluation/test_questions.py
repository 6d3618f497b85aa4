"""The test sets' questions."""

import io

import pytest
from PIL import Image

from service.errors import EvaluationError
from service.evaluation.questions import KINDS, collect_training_scenes, make_questions
from service.scenes.scene import draw_scene, rng_for


@pytest.mark.parametrize("kind", KINDS)
def test_questions_are_reproducible_and_differ_between_sets(kind: str) -> None:
    held_out = make_questions("held-out", kind, 3)
    assert held_out == make_questions("held-out", kind, 4)[:3]
    assert {item.turn.kind for item in held_out} == {kind}
    assert {len(item.images) for item in held_out} == {2 if kind == "compare" else 1}
    image = Image.open(io.BytesIO(held_out[0].images[0]))
    assert image.size == (224, 224)
    assert make_questions("shifted", kind, 1)[0].images != held_out[0].images


@pytest.mark.parametrize("kind", ["colour", "compare", "describe"])
def test_no_scene_is_in_the_training_sets(kind: str) -> None:
    rng = rng_for("captions", 11_999)
    assert draw_scene(rng) in collect_training_scenes()
    # Otherwise one question in twenty would be about such a scene.
    for item in make_questions("held-out", kind, 150):
        assert collect_training_scenes().isdisjoint(item.scenes)


def test_unknown_sets_and_kinds_are_named() -> None:
    with pytest.raises(EvaluationError, match="held-out"):
        make_questions("other", "colour", 1)
    with pytest.raises(EvaluationError, match="colour"):
        make_questions("held-out", "other", 1)


def test_yes_no_questions_are_balanced() -> None:
    expected = [item.turn.expected for item in make_questions("held-out", "exists", 200)]
    assert 80 < expected.count("yes") < 120


@pytest.mark.parametrize("kind", KINDS)
def test_earlier_questions_are_of_other_kinds_if_there_are_any(kind: str) -> None:
    for item in make_questions("held-out", kind, 3, turns_before=20):
        assert len(item.before) == 20
        assert kind == "compare" or item.turn.question not in item.before
