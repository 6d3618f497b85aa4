"""Questions about number and existence, whose answers go from object to object."""

import random

from service.scenes.conversations.wording import (
    PLURALS,
    Turn,
    add_article,
    capitalise,
    count_objects,
    describe_at_place,
    matches,
)
from service.scenes.scene import COLOURS, NUMBERS, SHAPES, Scene


def ask_total(scene: Scene, rng: random.Random) -> Turn:
    """Ask how many objects there are."""
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
    return Turn("count", question, f"There {verb} {count_objects(number)}.", str(number))


def ask_count(scene: Scene, rng: random.Random) -> Turn:
    """Ask how many objects have a shape, a colour or both; a fifth of the questions take any."""
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
        number += matches(item, *wanted)
        seen.append(
            describe_at_place(item) + (f" ({NUMBERS[number]})" if matches(item, *wanted) else "")
        )
    if number == 1:
        found = f"there is one {one}"
    else:
        found = f"there are {NUMBERS[number] if number else 'no'} {many}"
    return Turn("count", question, f"{capitalise(', '.join(seen))}, so {found}.", str(number))


def ask_existence(scene: Scene, rng: random.Random) -> Turn | None:
    """Ask whether an object exists; None if the drawn question has the wrong answer.

    Half of the answers are yes. A third of the others are close to an object of the scene.
    """
    wanted = rng.random() < 0.5
    item = rng.choice(scene.objects)
    style = rng.randrange(3)
    if wanted:
        if item.text:
            return None
        shape, colour = item.kind, item.colour
    elif style == 0 and item.kind in SHAPES:
        # Hard negatives: this shape in another colour, or this colour in another shape.
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
    if wanted != any(matches(item, *asked) for item in scene.objects):
        return None
    named = add_article(name)
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
    return Turn("exists", question, f"{_look_for(scene, *asked)}, so {verdict}.", verdict)


def _look_for(scene: Scene, shape: str | None, colour: str | None) -> str:
    """List the objects up to the first that matches."""
    seen = []
    for item in scene.objects:
        seen.append(describe_at_place(item))
        if matches(item, shape, colour):
            break
    return capitalise(", ".join(seen))
