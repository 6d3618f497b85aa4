"""What is wrong with a detailed description or a poem about a scene."""

import re
from collections import Counter
from dataclasses import dataclass

from service.scenes.conversations.wording import PLURALS
from service.scenes.scene import COLOURS, NUMBERS, SIZES, Scene
from service.text_quality import has_loop, split_lines, split_sentences

_SINGULARS = {plural: singular for singular, plural in PLURALS.items()}
_VERB = re.compile(
    r"\b(is|are|was|were|has|have|shows?|sees?|sits?|lies?|stands?|contains?|appears?|hangs?|rests?|fills?|"
    r"holds?|features?|depicts?|displays?|includes?|there's|it's|looks?|says?|reads?)\b"
)


@dataclass(frozen=True)
class DescriptionVerdict:
    """The failures of a text, and its objects compared with those of the scene.

    Attributes:
        repeated: It has a sentence or line twice, or some words three times in a row.
        fragment: A sentence has no verb, or only one or two words.
        unfinished: It was truncated, or does not end in a full stop.
        mentioned: Number of objects that it names.
        hallucinated: Number of these that the scene does not have, by colour and kind.
        missed: Number of objects in the scene that it does not name.
    """

    repeated: bool
    fragment: bool
    unfinished: bool
    mentioned: int
    hallucinated: int
    missed: int

    @property
    def failed(self) -> bool:
        """Whether it failed by our rules (the paper has none): repeated, fragment, unfinished."""
        return self.repeated or self.fragment or self.unfinished


def check_description(
    scene: Scene, text: str, *, truncated: bool, poem: bool = False
) -> DescriptionVerdict:
    """Check a description or poem.

    Args:
        truncated: Whether the answer ended because it reached the maximum length.
    """
    text = text.strip()
    parts = split_lines(text) if poem else split_sentences(text)
    is_ended = text.endswith((".", "!", "?", '."'))
    in_scene = Counter(_name_object(item.colour, item.text or item.kind) for item in scene.objects)
    named = count_objects(text)
    if poem:
        # A poem may name the same object again.
        named = Counter(dict.fromkeys(named, 1))
    return DescriptionVerdict(
        repeated=len(set(parts)) < len(parts) or has_loop(text),
        fragment=not parts or (not poem and any(_is_fragment(part) for part in parts)),
        unfinished=truncated or not is_ended or (poem and len(parts) < 2),
        mentioned=named.total(),
        hallucinated=(named - in_scene).total(),
        missed=0 if poem else (in_scene - named).total(),
    )


def count_objects(text: str) -> Counter[str]:
    """Count the objects that a text names, as ``colour kind`` or ``colour text``.

    It finds *a red star*, *three red stars*, *a star that is red*, *the word "stop" in red*.
    """
    lower = text.lower()
    colours, shapes = "|".join(COLOURS), "|".join((*PLURALS.values(), *PLURALS))
    found: Counter[str] = Counter()
    sizes, numbers = "|".join(SIZES), "|".join(("no", *NUMBERS, r"\d+"))
    colour_first = rf"\b(?:({numbers})\s+)?(?:(?:{sizes})\s+)?({colours})\s+({shapes})\b"
    for number, colour, shape in re.findall(colour_first, lower):
        found[_name_object(colour, _SINGULARS.get(shape, shape))] += _read_number(number, shape)
    shape_first = rf"\b({shapes})\s+(?:(?:that|which)\s+(?:is|are)|in)\s+({colours})\b"
    for shape, colour in re.findall(shape_first, lower):
        found[_name_object(colour, _SINGULARS.get(shape, shape))] += _read_number("", shape)
    written = re.findall(rf'word "(\w+)" in ({colours})|digit (\d) in ({colours})', lower)
    for word, word_colour, digit, digit_colour in written:
        found[_name_object(word_colour or digit_colour, word or digit)] += 1
    return found


def _read_number(number: str, shape: str) -> int:
    """Return the number before a shape; a plural without one means at least two."""
    if number == "no":
        return 0
    if shape not in _SINGULARS:
        return 1
    return int(number) if number.isdigit() else NUMBERS.index(number) if number else 2


def _name_object(colour: str, kind_or_text: str) -> str:
    return f"{colour} {kind_or_text}"


def _is_fragment(sentence: str) -> bool:
    return len(sentence.split()) < 3 or not _VERB.search(sentence.lower())
