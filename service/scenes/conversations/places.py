"""Where an object is, what is at a place, and how two objects stand to each other."""

import random

from service.scenes.conversations.wording import Turn, capital, phrase, place_phrase
from service.scenes.scene import CELLS, COLUMNS, ROWS, Scene, SceneObject


def where_is(scene: Scene, rng: random.Random) -> Turn | None:
    """The place of an object that has a name of its own."""
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


def what_is_at(scene: Scene, rng: random.Random) -> Turn:
    """What is at a place; a quarter of the places are drawn freely."""
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


_LEVEL = ("to the left of", "to the right of")
_UPRIGHT = ("above", "below")
_WAYS = (*_LEVEL, *_UPRIGHT)


def relation(scene: Scene, rng: random.Random) -> Turn | None:
    """How two objects stand to each other: is it so, which of two, or in free words."""
    named = [item for item in scene.objects if scene.named(item)]
    if len(named) < 2:
        return None
    one, other = rng.sample(named, 2)
    style = rng.random()
    if style < 0.6:
        return _is_it_so(scene, rng, one, other)
    if style < 0.8:
        return _which_of_two(scene, rng, one, other)
    return _compared_to(scene, rng, one, other)


def _is_it_so(scene: Scene, rng: random.Random, one: SceneObject, other: SceneObject) -> Turn:
    first, second = f"the {scene.named(one)}", f"the {scene.named(other)}"
    true = _relations(one, other)
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


def _which_of_two(scene: Scene, rng: random.Random, one: SceneObject, other: SceneObject) -> Turn:
    first, second = f"the {scene.named(one)}", f"the {scene.named(other)}"
    true = _relations(one, other)
    pair = list(_LEVEL if true[0] in _LEVEL else _UPRIGHT)
    rng.shuffle(pair)
    question = f"Is {first} {pair[0]} or {pair[1]} {second}?"
    way = next(way for way in true if way in pair)
    compared = _compared(scene, one, other, upright=way in _UPRIGHT)
    return Turn("relation", question, f"{compared}, so {first} is {way} {second}.", way)


def _compared_to(scene: Scene, rng: random.Random, one: SceneObject, other: SceneObject) -> Turn:
    first, second = f"the {scene.named(one)}", f"the {scene.named(other)}"
    question = rng.choice(
        (
            f"Where is {first} compared to {second}?",
            f"Where is {first} relative to {second}?",
        )
    )
    way = " and ".join(reversed(_relations(one, other)))
    rows = _compared(scene, one, other, upright=True)
    columns = _compared(scene, one, other, upright=False)
    return Turn("relation", question, f"{rows}. {columns}, so {first} is {way} {second}.", way)


def _compared(scene: Scene, one: SceneObject, other: SceneObject, *, upright: bool) -> str:
    """Both places, both rows or columns, and what follows from these two words: ``...: above``."""
    lines = _lines(scene, one, other, upright=upright)
    return f"{lines}: {_way(one, other, upright=upright)}"


def _lines(scene: Scene, one: SceneObject, other: SceneObject, *, upright: bool) -> str:
    sides = []
    for item in (one, other):
        line = f"{ROWS[item.row]} row" if upright else f"{COLUMNS[item.column]} column"
        sides.append(f"the {scene.named(item)} is {place_phrase(item.cell)}, in the {line}")
    return f"{capital(sides[0])}, and {sides[1]}"


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
