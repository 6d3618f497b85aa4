"""Questions about the place of an object, the object at a place, and relations of two objects."""

import random

from service.scenes.conversations.wording import Turn, capitalise, describe_object, describe_place
from service.scenes.scene import CELLS, COLUMNS, ROWS, Scene, SceneObject


def ask_place_of(scene: Scene, rng: random.Random) -> Turn | None:
    """Ask where an object is; None if it has no unique name."""
    item = rng.choice(scene.objects)
    name = scene.name_object(item)
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
    return Turn("where", question, f"The {name} is {describe_place(item.cell)}.", item.place)


def ask_object_at(scene: Scene, rng: random.Random) -> Turn:
    """Ask what is at a place; a quarter of the places may be empty."""
    cell = rng.choice(scene.objects).cell if rng.random() < 0.75 else rng.randrange(CELLS)
    where = describe_place(cell)
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
    return Turn("place", question, f"There is {describe_object(found)} {where}.", expected)


_LEVEL = ("to the left of", "to the right of")
_UPRIGHT = ("above", "below")
_WAYS = (*_LEVEL, *_UPRIGHT)


def ask_relation(scene: Scene, rng: random.Random) -> Turn | None:
    """Ask how two objects relate: whether a relation holds, which of two holds, or where one is.

    None if there are not two objects with unique names.
    """
    named = [item for item in scene.objects if scene.name_object(item)]
    if len(named) < 2:
        return None
    one, other = rng.sample(named, 2)
    style = rng.random()
    if style < 0.6:
        return _ask_whether(scene, rng, one, other)
    if style < 0.8:
        return _ask_which_of_two(scene, rng, one, other)
    return _ask_compared_to(scene, rng, one, other)


def _ask_whether(scene: Scene, rng: random.Random, one: SceneObject, other: SceneObject) -> Turn:
    first, second = f"the {scene.name_object(one)}", f"the {scene.name_object(other)}"
    true = _list_relations(one, other)
    # Half of the answers are yes, whatever the positions of the two objects.
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
    places = _name_lines(scene, one, other, upright=upright)
    # The question is repeated beside the true relation, so that the two words stand close together.
    asked = f"Is it {way.removesuffix(' of')}? It is {_find_way(one, other, upright=upright)}"
    return Turn("relation", question, f"{places}. {asked}, so {verdict}.", verdict)


def _ask_which_of_two(
    scene: Scene, rng: random.Random, one: SceneObject, other: SceneObject
) -> Turn:
    first, second = f"the {scene.name_object(one)}", f"the {scene.name_object(other)}"
    true = _list_relations(one, other)
    pair = list(_LEVEL if true[0] in _LEVEL else _UPRIGHT)
    rng.shuffle(pair)
    question = f"Is {first} {pair[0]} or {pair[1]} {second}?"
    way = next(way for way in true if way in pair)
    compared = _compare_places(scene, one, other, upright=way in _UPRIGHT)
    return Turn("relation", question, f"{compared}, so {first} is {way} {second}.", way)


def _ask_compared_to(
    scene: Scene, rng: random.Random, one: SceneObject, other: SceneObject
) -> Turn:
    first, second = f"the {scene.name_object(one)}", f"the {scene.name_object(other)}"
    question = rng.choice(
        (
            f"Where is {first} compared to {second}?",
            f"Where is {first} relative to {second}?",
        )
    )
    way = " and ".join(reversed(_list_relations(one, other)))
    rows = _compare_places(scene, one, other, upright=True)
    columns = _compare_places(scene, one, other, upright=False)
    return Turn("relation", question, f"{rows}. {columns}, so {first} is {way} {second}.", way)


def _compare_places(scene: Scene, one: SceneObject, other: SceneObject, *, upright: bool) -> str:
    """Name both places, both rows or columns, and the relation that follows: ``...: above``."""
    lines = _name_lines(scene, one, other, upright=upright)
    return f"{lines}: {_find_way(one, other, upright=upright)}"


def _name_lines(scene: Scene, one: SceneObject, other: SceneObject, *, upright: bool) -> str:
    sides = []
    for item in (one, other):
        line = f"{ROWS[item.row]} row" if upright else f"{COLUMNS[item.column]} column"
        sides.append(f"the {scene.name_object(item)} is {describe_place(item.cell)}, in the {line}")
    return f"{capitalise(sides[0])}, and {sides[1]}"


def _find_way(one: SceneObject, other: SceneObject, *, upright: bool) -> str:
    true = [way for way in _list_relations(one, other) if (way in _UPRIGHT) == upright]
    return true[0].removesuffix(" of") if true else "in line"


def _list_relations(one: SceneObject, other: SceneObject) -> list[str]:
    """Return the relations of left, right, above and below that hold, horizontal ones first."""
    ways = []
    if one.column != other.column:
        ways.append(_WAYS[0] if one.column < other.column else _WAYS[1])
    if one.row != other.row:
        ways.append(_WAYS[2] if one.row < other.row else _WAYS[3])
    return ways
