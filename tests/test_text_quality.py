"""Signs of a bad text."""

import pytest

from service.text_quality import has_loop, split_lines, split_sentences


def test_a_text_is_split_into_sentences_or_lines() -> None:
    assert split_sentences("One. Two!  Three? ") == ["One.", "Two!", "Three?"]
    assert split_lines("one\n\n two \nthree\n") == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red, red, red star", True),
        ("it is here, it is here, it is here", True),
        ("a red red star", False),
        ("", False),
    ],
)
def test_a_loop_is_some_words_three_times_in_a_row(text: str, expected: bool) -> None:
    assert has_loop(text) is expected
