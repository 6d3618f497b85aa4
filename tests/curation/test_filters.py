"""The filters find each kind of fault in a caption."""

import pytest

from service.curation.filters import find_problems
from tests.curation.test_pipeline import LONG


@pytest.mark.parametrize(
    ("caption", "tokens", "problem"),
    [
        ("", 90, "empty"),
        (LONG, 20, "shorter than 80 tokens"),
        ("It is red. It is blue. It is red.", 90, "a sentence twice"),
        ("It is very very very red.", 90, "words in a loop"),
        ("It is red ### yes.", 90, "stray characters"),
        ("It is red and", 90, "unfinished"),
    ],
)
def test_each_fault_is_found(caption: str, tokens: int, problem: str) -> None:
    assert find_problems(caption, tokens) == [problem]
    assert find_problems(LONG, 90) == []


def test_a_truncated_caption_is_unfinished_even_at_the_end_of_a_sentence() -> None:
    assert find_problems(LONG, 90, truncated=True) == ["unfinished"]
