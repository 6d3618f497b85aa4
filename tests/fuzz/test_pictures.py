"""Damaged pictures decode, or are refused with our own message."""

import random
from collections import Counter

from tests.fuzz.pictures import decode, mutate, originals

CASES = 3000


def test_every_original_decodes() -> None:
    assert {decode(data) for data in originals()} == {"decoded"}


def test_damaged_pictures_decode_or_are_refused() -> None:
    generator, files = random.Random("damaged pictures"), originals()
    outcomes = Counter(decode(mutate(generator, files)) for _ in range(CASES))
    assert (
        min(outcomes["decoded"], outcomes["ImageFormatError"], outcomes["ImageTooLargeError"]) > 20
    )
