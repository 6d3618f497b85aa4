"""VQA accuracy: how well an answer agrees with ten people's answers.

Sources: Antol et al. 2015, *VQA*, section 4; visualqa.org/evaluation.html; GT-Vision-Lab/VQA,
``vqaEvaluation/vqaEval.py``. The rules keep what that program does: the text is normalised only
where people disagree, every period is dropped that has no digit behind it, and each person's answer
is compared with the other nine.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ARTICLES = ("a", "an", "the")
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten"
_NUMBERS = {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())} | {"none": "0"}

_WITH_APOSTROPHE = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't
must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've
somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd
something'd've something'll that's there'd there'd've there're there's they'd they'd've they'll they're
they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's where've
who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll
y'all'd've you'd you'd've you'll you're you've
"""


def _misspelt(word: str) -> list[str]:
    """The word with one apostrophe missing, in each place in turn."""
    return [word[:at] + word[at + 1 :] for at, letter in enumerate(word) if letter == "'"]


_REPAIRED = dict(
    chain.from_iterable(
        ((bad, word) for bad in _misspelt(word)) for word in _WITH_APOSTROPHE.split()
    )
)
_REPAIRED["somebody'd"] = "somebodyd"  # the published table has this pair the other way round

_PERIOD = re.compile(r"\.(?!\d)")
_COMMA = re.compile(r"\d,\d")
_PERIODS = 32
"""Periods that are dropped at most: the published program passes a flag where the count belongs."""


@lru_cache(maxsize=1 << 16)
def normalise(text: str) -> str:
    """An answer without punctuation and articles, in lower case, with digits and apostrophes."""
    words = [_NUMBERS.get(word, word) for word in _drop_punctuation(text).lower().split()]
    return " ".join(_REPAIRED.get(word, word) for word in words if word not in _ARTICLES)


def _drop_punctuation(text: str) -> str:
    result = text
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if beside_space or _COMMA.search(text) else " ")
    return _PERIOD.sub("", result, count=_PERIODS)


def vqa_accuracy(answer: str, people: Sequence[str], *, fold_case: bool = False) -> float:
    """Between 0 and 1: the mean over people of ``min(others who agree / 3, 1)``.

    Args:
        answer: The model's.
        people: Everybody's answers, ten in the published sets.
        fold_case: Compare in lower case also where all people agree, as MiniGPT-4's copy does.
    """
    given, said = _one_line(answer), [_one_line(person) for person in people]
    if len(set(said)) > 1:
        given, said = normalise(given), [normalise(person) for person in said]
    if fold_case:
        given, said = given.lower(), [person.lower() for person in said]
    agree = [person == given for person in said]
    total = sum(agree)
    return sum(min((total - mine) / 3, 1.0) for mine in agree) / len(agree) if agree else 0.0


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()
