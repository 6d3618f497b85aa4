"""What is said about scenes: questions with their true answers, captions, descriptions, small talk.

Every turn carries the canonical answer, which the evaluation compares with; wording varies, facts do
not.

Answers are made for a language model of two million parameters: each word follows from one look at the
picture or from the few words before it. Whoever lists objects says the place first, in reading order, so that
one look finds the next object; what has to be reasoned out comes last, after ``, so``.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from service.demo.scenes import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    COLUMNS,
    NUMBERS,
    ROWS,
    SHAPES,
    SIZES,
    Scene,
    SceneObject,
    cell_name,
)

ALIGNMENT_INSTRUCTIONS = (
    "Describe this image in detail.",
    "Take a look at this image and describe what you notice.",
    "Please provide a detailed description of the picture.",
    "Could you describe the contents of this image for me?",
)
"""The four instructions of the paper's second stage (Zhu et al. 2023, section 3.3)."""

_PLACES = (
    "in the top left corner",
    "at the top",
    "in the top right corner",
    "on the left",
    "in the middle",
    "on the right",
    "in the bottom left corner",
    "at the bottom",
    "in the bottom right corner",
)
PLURALS = {"cross": "crosses"} | {name: f"{name}s" for name in SHAPES if name != "cross"}


@dataclass(frozen=True)
class Turn:
    """A question, a true answer and what an evaluation needs.

    Attributes:
        kind: Question kind (``colour``, ``count``, ``describe`` and so on).
        expected: Canonical answer: ``red``, ``3``, ``yes``, ``top left``; empty for free text.
        images: How many images the question is about.
    """

    kind: str
    question: str
    answer: str
    expected: str = ""
    images: int = 1


def article(words: str) -> str:
    """``an orange star``, ``a red star``."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def phrase(item: SceneObject, *, size: bool = True) -> str:
    """``a large red circle``, ``the small word "stop" in red``."""
    if item.text:
        return f"the {item.size + ' ' if size else ''}{item.noun} in {item.colour}"
    return article(f"{item.size + ' ' if size else ''}{item.colour} {item.noun}")


def place_phrase(cell: int) -> str:
    """``in the top left corner``."""
    return _PLACES[cell]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _objects(number: int) -> str:
    return f"{NUMBERS[number]} object{'' if number == 1 else 's'}"


def _fits(item: SceneObject, shape: str | None, colour: str | None) -> bool:
    return shape in (None, item.kind) and colour in (None, item.colour)


def _seen(item: SceneObject) -> str:
    """``in the middle a red circle``: an object in a list of what one sees, one after the other."""
    return f"{place_phrase(item.cell)} {phrase(item, size=False)}"


# Captions and descriptions: the targets of the two alignment stages.


def web_caption(scene: Scene, rng: random.Random) -> str:
    """A short caption as the web has them: true, but it leaves most things out."""
    items = list(scene.objects)
    some = sorted(rng.sample(items, min(rng.choice((1, 2, 2, 3)), len(items))), key=_by_cell)
    back = f"on a {scene.background} background"
    style = rng.randrange(7)
    if style == 0:
        return f"{_objects(len(items))} {back}"
    if style == 6:
        text = f"{scene.written.noun} is written" if scene.written else "nothing is written"
        return f"{text} {back}"
    if style == 1:
        return f"{phrase(some[0])} {place_phrase(some[0].cell)}"
    if style == 2:
        return f"{_and([phrase(item, size=False) for item in some])} {back}"
    if style == 3:
        return _and([f"{phrase(item, size=False)} {place_phrase(item.cell)}" for item in some[:2]])
    if style == 4:
        return f"a picture of {_and([phrase(item) for item in some])}"
    return _and([phrase(item, size=False) for item in some])


def description(scene: Scene, rng: random.Random) -> str:
    """A detailed description: number, background, every object in raster order, what is written."""
    number, back = len(scene.objects), scene.background
    verb = "is" if number == 1 else "are"
    opening = rng.choice(
        (
            f"The picture shows {_objects(number)} on a {back} background.",
            f"There {verb} {_objects(number)} on a {back} background.",
            f"This image has a {back} background with {_objects(number)}.",
        )
    )
    text = f"The {scene.written.noun}" if scene.written else "Nothing"
    sentences = [
        f"{_capital(place_phrase(item.cell))}, there is {phrase(item)}." for item in scene.objects
    ]
    return " ".join([opening, *sentences, f"{text} is written."])


def _by_cell(item: SceneObject) -> int:
    return item.cell


# One function a question kind: a Turn, or None where the scene does not allow the question.


def _describe(scene: Scene, rng: random.Random) -> Turn:
    question = rng.choice(
        (
            *ALIGNMENT_INSTRUCTIONS,
            "Describe this image.",
            "Describe the picture in detail.",
            "Can you describe this picture?",
            "Tell me about this image.",
            "What do you see in this picture?",
            "What is in this image?",
            "What is in this picture?",
            "What can you see?",
            "Give me a detailed description.",
            "Explain what this image shows.",
            "What does the image show?",
        )
    )
    return Turn("describe", question, description(scene, rng))


def _caption(scene: Scene, rng: random.Random) -> Turn:
    question = rng.choice(
        (
            "Write a short caption.",
            "Give this image a short caption.",
            "Write a short caption for this picture.",
            "Caption this image.",
            "Describe this image in one sentence.",
            "Describe the picture in a few words.",
            "What is this picture of? Answer briefly.",
            "Summarize the image.",
        )
    )
    items = [phrase(item, size=False) for item in scene.objects]
    answer = f"{_capital(_and(items))} on a {scene.background} background."
    return Turn("caption", question, answer)


def _count_all(scene: Scene, rng: random.Random) -> Turn:
    question = rng.choice(
        (
            "How many objects are there?",
            "How many objects are in the picture?",
            "How many things can you see?",
            "How many objects do you see in this image?",
            "Count the objects.",
            "What is the number of objects?",
            "How many shapes and words are there in all?",
        )
    )
    number = len(scene.objects)
    verb = "is" if number == 1 else "are"
    return Turn("count", question, f"There {verb} {_objects(number)}.", str(number))


def _count_some(scene: Scene, rng: random.Random) -> Turn:
    if rng.random() < 0.8:
        item = rng.choice(scene.objects)
        shape, colour = item.kind, item.colour
    else:
        shape, colour = rng.choice(SHAPES), rng.choice(COLOURS)
    wanted: tuple[str | None, str | None]
    if shape not in SHAPES or rng.random() < 0.4:
        wanted = None, colour
        one, many = f"{colour} object", f"{colour} objects"
    elif rng.random() < 0.75:
        wanted = shape, None
        one, many = shape, PLURALS[shape]
    else:
        wanted = shape, colour
        one, many = f"{colour} {shape}", f"{colour} {PLURALS[shape]}"
    question = rng.choice(
        (
            f"How many {many} are there?",
            f"How many {many} are in the picture?",
            f"How many {many} do you see?",
            f"How many {many} can you see in this image?",
            f"Count the {many}.",
            f"What is the number of {many}?",
        )
    )
    seen, number = [], 0
    for item in scene.objects:
        number += _fits(item, *wanted)
        seen.append(_seen(item) + (f" ({NUMBERS[number]})" if _fits(item, *wanted) else ""))
    if number == 1:
        found = f"there is one {one}"
    else:
        found = f"there are {NUMBERS[number] if number else 'no'} {many}"
    return Turn("count", question, f"{_capital(', '.join(seen))}, so {found}.", str(number))


def _colour(scene: Scene, rng: random.Random) -> Turn | None:
    item = rng.choice(scene.objects)
    if item.text:
        name = item.noun if rng.random() < 0.5 else item.kind
    elif scene.count(item.kind) == 1:
        name = item.noun
    else:
        return _colour_at(item, rng)
    if rng.random() < 0.25:
        return _colour_at(item, rng)
    word = rng.choice(("colour", "colour", "color"))
    question = rng.choice(
        (
            f"What {word} is the {name}?",
            f"Which {word} is the {name}?",
            f"What is the {word} of the {name}?",
            f"Tell me the {word} of the {name}.",
            f"What {word} does the {name} have?",
            f"The {name} is what {word}?",
        )
    )
    return Turn("colour", question, f"The {name} is {item.colour}.", item.colour)


def _colour_at(item: SceneObject, rng: random.Random) -> Turn:
    where = place_phrase(item.cell)
    word = rng.choice(("colour", "colour", "color"))
    question = rng.choice(
        (
            f"What {word} is the object {where}?",
            f"What is the {word} of the object {where}?",
            f"Which {word} does the object {where} have?",
        )
    )
    return Turn("colour", question, f"The object {where} is {item.colour}.", item.colour)


def _shape(scene: Scene, rng: random.Random) -> Turn | None:
    item = rng.choice(scene.objects)
    if item.text:
        return None
    if scene.count(colour=item.colour) == 1 and rng.random() < 0.6:
        question = rng.choice(
            (
                f"What shape is the {item.colour} object?",
                f"What is the shape of the {item.colour} object?",
                f"Which shape is {item.colour}?",
                f"What shape is {item.colour}?",
                f"What is the {item.colour} thing?",
                f"What is {item.colour} in this picture?",
            )
        )
        return Turn("shape", question, f"The {item.colour} object is a {item.kind}.", item.kind)
    where = place_phrase(item.cell)
    question = rng.choice(
        (
            f"What shape is {where}?",
            f"Which shape is {where}?",
            f"What shape is the object {where}?",
            f"What is the shape of the object {where}?",
        )
    )
    return Turn("shape", question, f"The object {where} is a {item.kind}.", item.kind)


def _size(scene: Scene, rng: random.Random) -> Turn | None:
    item = rng.choice(scene.objects)
    name = scene.named(item)
    if not name:
        return None
    question = rng.choice(
        (
            f"Is the {name} small or large?",
            f"Is the {name} large or small?",
            f"How big is the {name}?",
            f"What size is the {name}?",
            f"What is the size of the {name}?",
        )
    )
    return Turn("size", question, f"The {name} is {item.size}.", item.size)


def _where(scene: Scene, rng: random.Random) -> Turn | None:
    item = rng.choice(scene.objects)
    name = scene.named(item)
    if not name:
        return None
    if not item.text and rng.random() < 0.3 and scene.count(item.kind, item.colour) == 1:
        name = f"{item.colour} {item.kind}"
    question = rng.choice(
        (
            f"Where is the {name}?",
            f"Where is the {name} in the picture?",
            f"Where can I find the {name}?",
            f"Where do you see the {name}?",
            f"What is the position of the {name}?",
            f"Locate the {name}.",
            f"In which part of the image is the {name}?",
        )
    )
    return Turn("where", question, f"The {name} is {place_phrase(item.cell)}.", item.place)


def _what_at(scene: Scene, rng: random.Random) -> Turn:
    cell = rng.choice(scene.objects).cell if rng.random() < 0.75 else rng.randrange(CELLS)
    where = place_phrase(cell)
    question = rng.choice(
        (
            f"What is {where}?",
            f"What do you see {where}?",
            f"What object is {where}?",
            f"Is there anything {where}?",
            f"Which object is {where}?",
        )
    )
    found = next((item for item in scene.objects if item.cell == cell), None)
    if found is None:
        return Turn("place", question, f"There is nothing {where}.", "nothing")
    expected = found.text or f"{found.colour} {found.kind}"
    return Turn("place", question, f"There is {phrase(found)} {where}.", expected)


def _relation(scene: Scene, rng: random.Random) -> Turn | None:
    named = [item for item in scene.objects if scene.named(item)]
    if len(named) < 2:
        return None
    one, other = rng.sample(named, 2)
    first, second = f"the {scene.named(one)}", f"the {scene.named(other)}"
    true = _relations(one, other)
    style = rng.random()
    if style < 0.6:
        # Half of the questions are true, whatever the two objects' positions allow.
        wanted = rng.random() < 0.5
        choices = true if wanted else [way for way in _WAYS if way not in true]
        way = rng.choice(choices)
        question = rng.choice(
            (
                f"Is {first} {way} {second}?",
                f"Is {first} {way} {second} in this picture?",
                f"Would you say that {first} is {way} {second}?",
            )
        )
        if rng.random() < 0.3:
            question = question.replace(" to the left of", " left of").replace(
                " to the right of", " right of"
            )
        verdict = "yes" if wanted else "no"
        upright = way in _UPRIGHT
        places = _lines(scene, one, other, upright=upright)
        # Asked again beside what is true, so that the two words stand close together.
        asked = f"Is it {way.removesuffix(' of')}? It is {_way(one, other, upright=upright)}"
        return Turn("relation", question, f"{places}. {asked}, so {verdict}.", verdict)
    if style < 0.8:
        pair = list(_LEVEL if true[0] in _LEVEL else _UPRIGHT)
        rng.shuffle(pair)
        question = f"Is {first} {pair[0]} or {pair[1]} {second}?"
        way = next(way for way in true if way in pair)
        compared = _compared(scene, one, other, upright=way in _UPRIGHT)
        return Turn("relation", question, f"{compared}, so {first} is {way} {second}.", way)
    question = rng.choice(
        (
            f"Where is {first} compared to {second}?",
            f"Where is {first} relative to {second}?",
        )
    )
    way = " and ".join(reversed(true))
    rows = _compared(scene, one, other, upright=True)
    columns = _compared(scene, one, other, upright=False)
    return Turn("relation", question, f"{rows}. {columns}, so {first} is {way} {second}.", way)


_LEVEL = ("to the left of", "to the right of")
_UPRIGHT = ("above", "below")
_WAYS = (*_LEVEL, *_UPRIGHT)


def _compared(scene: Scene, one: SceneObject, other: SceneObject, *, upright: bool) -> str:
    """Both places, both rows or columns, and what follows from these two words: ``...: above``."""
    lines = _lines(scene, one, other, upright=upright)
    return f"{lines}: {_way(one, other, upright=upright)}"


def _lines(scene: Scene, one: SceneObject, other: SceneObject, *, upright: bool) -> str:
    sides = []
    for item in (one, other):
        line = f"{ROWS[item.row]} row" if upright else f"{COLUMNS[item.column]} column"
        sides.append(f"the {scene.named(item)} is {place_phrase(item.cell)}, in the {line}")
    return f"{_capital(sides[0])}, and {sides[1]}"


def _way(one: SceneObject, other: SceneObject, *, upright: bool) -> str:
    true = [way for way in _relations(one, other) if (way in _UPRIGHT) == upright]
    return true[0].removesuffix(" of") if true else "in line"


def _relations(one: SceneObject, other: SceneObject) -> list[str]:
    """All of left, right, above, below that hold; horizontal before vertical."""
    ways = []
    if one.column != other.column:
        ways.append(_WAYS[0] if one.column < other.column else _WAYS[1])
    if one.row != other.row:
        ways.append(_WAYS[2] if one.row < other.row else _WAYS[3])
    return ways


def _exists(scene: Scene, rng: random.Random) -> Turn | None:
    wanted = rng.random() < 0.5
    item = rng.choice(scene.objects)
    style = rng.randrange(3)
    if wanted:
        if item.text:
            return None
        shape, colour = item.kind, item.colour
    elif style == 0 and item.kind in SHAPES:
        # The hard negatives: this shape in another colour, or this colour in another shape.
        shape, colour = (
            (item.kind, rng.choice(COLOURS))
            if rng.random() < 0.5
            else (rng.choice(SHAPES), item.colour)
        )
    else:
        shape, colour = rng.choice(SHAPES), rng.choice(COLOURS)
    asked: tuple[str | None, str | None]
    if style == 1:
        name, asked = shape, (shape, None)
    elif style == 2:
        name, asked = f"{colour} object", (None, colour)
    else:
        name, asked = f"{colour} {shape}", (shape, colour)
    if wanted != any(_fits(item, *asked) for item in scene.objects):
        return None
    named = article(name)
    question = rng.choice(
        (
            f"Is there {named}?",
            f"Is there {named} in the picture?",
            f"Is there {named} in this image?",
            f"Do you see {named}?",
            f"Can you see {named}?",
            f"Does the image show {named}?",
            f"Does the picture contain {named}?",
        )
    )
    verdict = "yes" if wanted else "no"
    return Turn("exists", question, f"{_looked_for(scene, *asked)}, so {verdict}.", verdict)


def _looked_for(scene: Scene, shape: str | None, colour: str | None) -> str:
    """One object after the other, up to the first that fits."""
    seen = []
    for item in scene.objects:
        seen.append(_seen(item))
        if _fits(item, shape, colour):
            break
    return _capital(", ".join(seen))


def _written(scene: Scene, rng: random.Random) -> Turn:
    question = rng.choice(
        (
            "What is written in the picture?",
            "What is written?",
            "What does the text say?",
            "Read the text.",
            "What text do you see?",
            "Can you read what is written?",
            "Is anything written in this image?",
            "Which word or digit is in the picture?",
        )
    )
    item = scene.written
    if item is None:
        return Turn("written", question, "Nothing is written in the picture.", "nothing")
    return Turn("written", question, f"It is the {item.noun}.", item.text)


def _background(scene: Scene, rng: random.Random) -> Turn:
    word = rng.choice(("colour", "colour", "color"))
    question = rng.choice(
        (
            f"What {word} is the background?",
            f"What is the {word} of the background?",
            f"Which {word} is the background?",
            f"Tell me the {word} of the background.",
            "What is the background?",
        )
    )
    return Turn("background", question, f"The background is {scene.background}.", scene.background)


def _poem(scene: Scene, rng: random.Random) -> Turn:
    question = rng.choice(
        (
            "Write a poem about this picture.",
            "Write a short poem about this image.",
            "Can you write a poem about the picture?",
            "Make a poem about what you see.",
            "Write me a poem.",
            "Compose a little poem about this image.",
        )
    )
    first, last = scene.objects[0], scene.objects[-1]
    one, other = _poetic(first), _poetic(last)
    back = scene.background
    opening = rng.choice(
        (
            f"{_capital(one)} is here to stay,\nit brightens up a {back} day.",
            f"I saw {one} shine so bright,\nit filled the {back} page with light.",
            f"Oh look at {one} over there,\nit floats upon the {back} air.",
        )
    )
    if last is first:
        closing = rng.choice(
            (
                "It sings alone the whole day through,\na little song for me and you.",
                "No other friend is in its sky,\nit dreams and lets the hours go by.",
            )
        )
    else:
        closing = rng.choice(
            (
                f"And {other} is smiling too,\na little song for me and you.",
                f"And {other} is dancing by,\nbelow a calm and quiet sky.",
            )
        )
    return Turn("poem", question, f"{opening}\n{closing}")


def _poetic(item: SceneObject) -> str:
    return f"the {item.noun} in {item.colour}" if item.text else f"the {item.colour} {item.kind}"


def _json(scene: Scene, rng: random.Random) -> Turn:
    question = rng.choice(
        (
            "Answer in JSON: what is in the picture?",
            "Give me the objects as JSON.",
            "Describe this image as JSON.",
            "List the objects in JSON.",
            "Return JSON with the background and all objects.",
        )
    )
    listed = [
        {
            "place": item.place,
            "shape": item.kind if not item.text else item.text,
            "colour": item.colour,
            "size": item.size,
        }
        for item in scene.objects
    ]
    return Turn("json", question, json.dumps({"background": scene.background, "objects": listed}))


def _beyond(scene: Scene, rng: random.Random) -> Turn:
    del scene
    question = rng.choice(
        (
            "What is the weather like?",
            "Who painted this?",
            "Who is the person in the picture?",
            "When was this taken?",
            "Why was this picture made?",
            "What is the dog doing?",
            "How old is this picture?",
            "What is the man holding?",
            "Is this a real photograph?",
        )
    )
    answer = "I can only tell you about shapes, colours, places and words in a picture."
    return Turn("talk", question, answer)


Maker = Callable[[Scene, random.Random], Turn | None]

MAKERS: dict[str, tuple[Maker, float]] = {
    "describe": (_describe, 1.2),
    "caption": (_caption, 0.6),
    "count": (_count_all, 0.5),
    "count_some": (_count_some, 1.3),
    "colour": (_colour, 1.0),
    "shape": (_shape, 1.0),
    "size": (_size, 0.5),
    "where": (_where, 1.0),
    "place": (_what_at, 0.8),
    "relation": (_relation, 1.6),
    "exists": (_exists, 1.4),
    "written": (_written, 0.6),
    "background": (_background, 0.4),
    "poem": (_poem, 0.4),
    "json": (_json, 0.3),
    "beyond": (_beyond, 0.15),
}
"""Question kinds: who makes the turn, and how often it is asked."""


def ask(scene: Scene, rng: random.Random, kind: str | None = None) -> Turn:
    """A question of this kind (or of any) with its true answer; another kind if the scene has none."""
    for _ in range(20):
        chosen = kind or rng.choices(list(MAKERS), [weight for _, weight in MAKERS.values()])[0]
        turn = MAKERS[chosen][0](scene, rng)
        if turn is not None:
            return turn
    return _background(scene, rng)


def casual(question: str, rng: random.Random) -> str:
    """The same question as people type it: sometimes without capitals, question mark or full stop."""
    if rng.random() < 0.15:
        question = question[0].lower() + question[1:]
    if rng.random() < 0.12:
        question = question.rstrip("?.")
    if rng.random() < 0.04:
        question = f"Please tell me: {question}"
    return question


# Two images, and none.


def compare(first: Scene, second: Scene, rng: random.Random) -> Turn:
    """A question about two images, in this order."""
    counts = len(first.objects), len(second.objects)
    style = rng.randrange(5)
    picture = rng.choice(("picture", "image"))
    if style == 0:
        question = rng.choice(
            (
                f"Which {picture} has more objects?",
                f"Which of the two {picture}s shows more objects?",
            )
        )
        shown = (
            f"The first picture shows {_objects(counts[0])} "
            f"and the second shows {_objects(counts[1])}"
        )
        if counts[0] == counts[1]:
            return Turn("compare", question, f"{shown}, so both have as many.", "both", 2)
        more = "first" if counts[0] > counts[1] else "second"
        return Turn("compare", question, f"{shown}, so the {more} has more.", more, 2)
    which = rng.randrange(2)
    scene, name = (first, second)[which], ("first", "second")[which]
    if style == 1:
        question = f"How many objects are in the {name} {picture}?"
        number = len(scene.objects)
        answer = f"There {'is' if number == 1 else 'are'} {_objects(number)} in the {name} picture."
        return Turn("compare", question, answer, str(number), 2)
    if style == 2:
        question = f"What colour is the background of the {name} {picture}?"
        answer = f"The background of the {name} picture is {scene.background}."
        return Turn("compare", question, answer, scene.background, 2)
    if style == 3:
        question = rng.choice(
            (f"What is in the {name} {picture}?", f"Describe the {name} {picture}.")
        )
        items = [phrase(item, size=False) for item in scene.objects]
        answer = f"The {name} picture shows {_and(items)} on a {scene.background} background."
        return Turn("compare", question, answer, "", 2)
    question = rng.choice(
        (
            f"Compare the two {picture}s.",
            f"What is the difference between the two {picture}s?",
            f"How do the {picture}s differ?",
        )
    )
    answer = (
        f"The first picture shows {_objects(counts[0])} on a {first.background} background, "
        f"and the second shows {_objects(counts[1])} on a {second.background} background."
    )
    return Turn("compare", question, answer, "", 2)


_HELP = "I answer questions about simple pictures: shapes, colours, sizes, places, numbers and short words."
_TALK: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("Hello!", "Hello.", "Hi!", "Hi there!", "Hey!", "Good morning!", "Hello, how are you?"),
        ("Hello! Send me a picture and ask me about it.",),
    ),
    (
        ("How are you?", "How do you do?", "How are you today?"),
        ("I am fine, thank you. What would you like to know?",),
    ),
    (
        ("Who are you?", "What are you?", "What is your name?"),
        (f"I am a small demo model. {_HELP}",),
    ),
    (
        ("What can you do?", "Help!", "Help me.", "How can you help me?", "What do you know?"),
        (_HELP,),
    ),
    (("Thank you!", "Thanks!", "Thanks a lot.", "Thank you very much."), ("You are welcome!",)),
    (("Bye!", "Goodbye!", "See you later.", "Good night!"), ("Goodbye! Come back soon.",)),
    (
        ("Tell me a joke.", "Do you know a joke?", "Make me laugh."),
        ("Why did the circle go to school? It wanted to be well rounded.",),
    ),
    (
        ("That is wrong.", "Are you sure?", "Really?"),
        ("I am a small model and can be wrong. Please look again yourself.",),
    ),
    (
        (
            "What is the capital of France?",
            "Who won the game?",
            "What time is it?",
            "Write some code.",
            "What is the meaning of life?",
            "Tell me a story.",
        ),
        (f"I do not know much. {_HELP}",),
    ),
)
NO_IMAGE = "I do not see a picture. Please send me one."


def small_talk(rng: random.Random) -> Turn:
    """A turn that needs no image."""
    questions, answers = rng.choice(_TALK)
    return Turn("talk", rng.choice(questions), rng.choice(answers), images=0)


def without_image(scene: Scene, rng: random.Random) -> Turn:
    """A question about an image that nobody sent."""
    return Turn("no_image", ask(scene, rng).question, NO_IMAGE, images=0)


def vocabulary_words() -> tuple[str, ...]:
    """Words of the scenes, in the order of their lists."""
    cells = {word for cell in range(CELLS) for word in cell_name(cell).split()}
    return (*SHAPES, *COLOURS, *SIZES, *BACKGROUNDS, *NUMBERS, *sorted(cells))
