"""The default model gives true answers about pictures that are not in a training set."""

import base64
import shlex
from pathlib import Path

import httpx
import pytest

from service.evaluation.asking import ask_all
from service.evaluation.questions import make_questions
from service.evaluation.results import SceneResults
from service.serve.builtin_models import DEFAULT, resolve_model
from tests.example_scenes import read_examples
from tests.server import ServerProcess

ASKED = 40
# Lower than in docs/explanation/alignment.md: forty questions can differ by chance.
LEAST = {
    "colour": 0.9,
    "shape": 0.9,
    "count": 0.88,
    "exists": 0.85,
    "relation": 0.9,
    "where": 0.9,
    "background": 0.9,
}


@pytest.mark.parametrize("kind", LEAST)
def test_questions_about_held_out_scenes_are_answered_truly(
    default_service: ServerProcess, kind: str
) -> None:
    questions = make_questions("held-out", kind, ASKED)
    results = SceneResults("default", "held-out")
    results.add(kind, questions, ask_all(default_service.url, questions))
    assert results.errors == 0
    assert results.accuracy[kind] >= LEAST[kind], results.wrong[kind]


def test_descriptions_are_whole_and_name_what_is_there(default_service: ServerProcess) -> None:
    questions = make_questions("held-out", "describe", ASKED)
    results = SceneResults("default", "held-out")
    results.add("describe", questions, ask_all(default_service.url, questions))
    assert results.failures["describe"]["any"] <= 0.1, results.wrong["describe"]
    assert results.hallucinated is not None
    assert results.missed is not None
    assert results.hallucinated <= 0.1, results.wrong["describe"]
    assert results.missed <= 0.15, results.wrong["describe"]


def test_the_same_question_has_another_answer_for_another_picture(
    default_service: ServerProcess, tmp_path: Path
) -> None:
    folder = resolve_model(DEFAULT, tmp_path).root / "examples"
    scenes = read_examples(folder)
    client = default_service.openai()
    right = 0
    for name, scene in scenes.items():
        picture = base64.b64encode((folder / name).read_bytes()).decode()
        said = client.chat.completions.create(
            model=client.models.list().data[0].id,
            temperature=0,
            max_tokens=40,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image_url",
                            "image_url": {"url": f"data:image/png;base64,{picture}"},
                        },
                        {"type": "text", "text": "What colour is the background?"},
                    ],
                }
            ],
        )
        right += scene.background in (said.choices[0].message.content or "")
    assert len({scene.background for scene in scenes.values()}) > 1
    assert right >= len(scenes) - 1


def test_small_talk_needs_no_picture(default_service: ServerProcess) -> None:
    client = default_service.openai()
    said = client.chat.completions.create(
        model=client.models.list().data[0].id,
        temperature=0,
        max_tokens=60,
        messages=[{"role": "user", "content": "What colour is the star?"}],
    )
    assert "do not see" in (said.choices[0].message.content or "")


def test_the_line_to_paste_gets_a_true_answer(default_service: ServerProcess) -> None:
    line = next(line for line in default_service.log if line.startswith("  curl "))
    _, url, _, header, _, body = shlex.split(line)
    name, _, value = header.partition(": ")
    answer = httpx.post(url, headers={name: value}, content=body, timeout=60).json()
    text = answer["choices"][0]["message"]["content"]
    assert "red circle" in text
    assert "blue square" in text
