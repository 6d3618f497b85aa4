"""The load test of the front end: its short form against the real service with stub models."""

from pathlib import Path

import pytest
import torch

from loadtests.front_end import SHORT, Level, measure, summarise, write_folder
from loadtests.front_end_client import Outcome, Request, _check
from loadtests.observe import ENCODER_METRICS
from loadtests.stubs.numbers import NUMBERS, number_of

ANSWER = b"""data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}

data: {"choices": [{"delta": {"content": "a "}}]}

data: {"choices": [{"delta": {"content": "b"}}]}

data: {"choices": [], "usage": {"completion_tokens": 2}}

data: [DONE]

"""


def test_an_answer_about_another_image_is_noticed() -> None:
    assert _check(Request(b"", "a b"), 200, ANSWER, 2) is None
    assert "another image" in str(_check(Request(b"", "c b"), 200, ANSWER, 2))
    assert "tokens" in str(_check(Request(b"", "a b"), 200, ANSWER, 3))
    assert "cut" in str(_check(Request(b"", "a b"), 200, ANSWER[:-20], 2))
    assert "503" in str(_check(Request(b"", "a b"), 503, b"busy", 2))


def test_pictures_have_different_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (50, 224, 224, 3), dtype=torch.uint8, generator=generator)
    numbers = {number_of(picture) for picture in pictures}
    assert len(numbers) > 30
    assert numbers <= set(range(NUMBERS))


def test_an_image_that_is_encoded_twice_is_an_error() -> None:
    level = Level(2, 2, 8)
    used = dict.fromkeys(ENCODER_METRICS, 3.0) | {"API": 0.01}
    outcome = Outcome(1.0, [0.1, 0.2], [0.5, 1.0])
    figures = summarise(1, level, [outcome], used)
    assert figures.cpu_ms == {"API": 5.0}
    assert figures.requests_per_second == 2.0
    assert figures.wrong == ["3 images were encoded for 2 requests"]


@pytest.mark.parametrize("processes", [1])
def test_nothing_is_lost_or_mixed_up(processes: int, tmp_path: Path) -> None:
    results = list(measure(write_folder(tmp_path), processes, SHORT))
    assert [result.wrong for result in results] == [[]] * len(SHORT)
    assert all(result.cpu_ms["API"] > 0 for result in results)
    assert all(result.cpu_ms["engine"] > 0 for result in results)
