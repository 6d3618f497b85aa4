"""The filters find each kind of fault in a caption."""

import pytest

from service.curation.filters import find_problems
from tests.curation.test_pipeline import LONG


@pytest.mark.parametrize(
    ("caption", "problem"),
    [
        ("", "empty"),
        ("I\u2019m sorry I made a mistake. It is red.", "an apology"),
        ("It is red. I apologize for that error.", "an apology"),
        ("It is red. It is blue. It is red.", "a sentence twice"),
        ("It is very very very red.", "words in a loop"),
        ("It is red ### yes.", "stray characters"),
        ("It is red and", "unfinished"),
    ],
)
def test_each_fault_is_found(caption: str, problem: str) -> None:
    assert find_problems(caption) == [problem]
    assert find_problems(LONG) == []


def test_a_short_caption_is_kept() -> None:
    assert find_problems("It is red.") == []


def test_a_truncated_caption_is_unfinished_even_at_the_end_of_a_sentence() -> None:
    assert find_problems(LONG, truncated=True) == ["unfinished"]
