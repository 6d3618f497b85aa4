"""What the filters find in captions."""

import pytest

from service.curation.filters import problems_of
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
def test_filters(caption: str, tokens: int, problem: str | None) -> None:
    assert problems_of(caption, tokens) == [problem]
    assert problems_of(LONG, 90) == []


def test_an_answer_that_was_cut_is_unfinished_even_where_a_sentence_ends() -> None:
    assert problems_of(LONG, 90, cut=True) == ["unfinished"]
