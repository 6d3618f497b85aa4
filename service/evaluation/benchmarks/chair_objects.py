"""Which of COCO's objects a caption mentions.

Sources: Rohrbach et al. 2018, *Object Hallucination in Image Captioning*, section 2;
LisaAnne/Hallucination, ``utils/chair.py`` and ``data/synonyms.txt``. That program splits words as
NLTK does, takes each to its singular with the package *pattern*, joins known pairs of words, and
looks each one up in the list of synonyms. *pattern* takes the last s off singular words too:
``bus`` becomes ``bu`` and ``glass`` becomes ``glas``; ``ties`` becomes ``ty``. The program repairs
``wine glas`` only, so it counts ``buses`` but not ``a bus``, and ``a tie`` but not ``ties``. The
rules here keep that, since published figures contain it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from service.errors import EvaluationError

_MARKS = r",:;?!\"\u201c\u201d()\[\]{}<>#$%&@"
_TOKEN = re.compile(rf"[{_MARKS}]|--|\.+(?=\s|$)|(?:(?!--|\.+(?:\s|$))[^\s{_MARKS}])+")
_GENITIVE = re.compile(r"('s|'re|'ve|'ll|'d|'m|n't|')$")

_IRREGULAR = {
    "men": "man",
    "children": "child",
    "people": "person",
    "oxen": "ox",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "leaves": "leaf",
    "loaves": "loaf",
}
_UNCHANGED = ("scissors", "collies", "doggies")
_RULES = tuple(
    (re.compile(rule), end)
    for rule, end in (
        (r"(o)es$", r"\1"),
        (r"(bus)es$", r"\1"),
        (r"([ml])ice$", r"\1ouse"),
        (r"(x|ch|ss|sh)es$", r"\1"),
        (r"([^aeiouy]|qu)ies$", r"\1y"),
        (r"([aeo]l|[^d]ea|ar)ves$", r"\1f"),
        (r"([nlw]i)ves$", r"\1fe"),
        (r"([aeo])ves$", r"\1ve"),
        (r"([sth]ive)s$", r"\1"),
        (r"([^f])ves$", r"\1fe"),
        (r"s$", ""),
    )
)

_PAIR_LIST = """
motor bike,motor cycle,air plane,traffic light,street light,traffic signal,stop light,fire hydrant,
stop sign,parking meter,suit case,sports ball,baseball bat,baseball glove,tennis racket,wine glass,
hot dog,cell phone,mobile phone,teddy bear,hair drier,potted plant,laptop computer,stove top oven,
home plate,train track
"""
_PAIRS = _PAIR_LIST.replace("\n", "").split(",")
_ANIMALS = "bird cat dog horse sheep cow elephant bear zebra giraffe animal cub"
_JOINED = (
    {pair: pair for pair in _PAIRS}
    | {f"{age} {animal}": animal for age in ("baby", "adult") for animal in _ANIMALS.split()}
    | {f"passenger {vehicle}": vehicle for vehicle in ("jet", "train")}
    | {"bow tie": "tie", "toilet seat": "toilet", "wine glas": "wine glass"}
)
"""Pairs of words that are one object, and its name."""


def read_synonyms(file: Path) -> dict[str, str]:
    """From each word of ``synonyms.txt`` to the object that begins its line.

    Raises:
        EvaluationError: the file cannot be read or has no objects.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{file} cannot be read: {error}.") from error
    names = [line.strip().split(", ") for line in lines if line.strip()]
    if not names:
        raise EvaluationError(f"{file} has no objects: a line such as 'dog, puppy' is needed.")
    return {word: line[0] for line in names for word in line}


def objects_in(caption: str, synonyms: dict[str, str]) -> list[str]:
    """The objects of the caption in their order; an object comes as often as it is named."""
    words = _join_pairs([singular(word) for word in _split(caption.lower())])
    if "toilet" in words:  # "the seat of the toilet" is not a chair
        words = [word for word in words if word != "seat"]
    return [synonyms[word] for word in words if word in synonyms]


def singular(word: str) -> str:
    """A word without its plural ending, as *pattern* has it for the words of COCO's objects."""
    if word.endswith(_UNCHANGED):
        return word
    for many, one in _IRREGULAR.items():
        if word.endswith(many):
            return word.removesuffix(many) + one
    for rule, end in _RULES:
        changed, times = rule.subn(end, word)
        if times:
            return changed
    return word


def _split(text: str) -> list[str]:
    words: list[str] = []
    for word in _TOKEN.findall(text):
        bare = _GENITIVE.sub("", word.lstrip("'`"))
        words += [bare] if bare == word else [bare, "'"]
    return words


def _join_pairs(words: Sequence[str]) -> list[str]:
    joined, at = [], 0
    while at < len(words):
        pair = " ".join(words[at : at + 2])
        joined.append(_JOINED.get(pair, words[at]))
        at += 2 if pair in _JOINED else 1
    return joined
