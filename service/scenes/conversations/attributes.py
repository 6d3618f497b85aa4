"""Colour, shape and size of one object, what is written, and the background."""

import random

from service.scenes.conversations.wording import Turn, place_phrase
from service.scenes.scene import Scene, SceneObject


def colour_of(scene: Scene, rng: random.Random) -> Turn:
    """The colour of an object, by its name where only one has it, else by its place."""
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


def shape_of(scene: Scene, rng: random.Random) -> Turn | None:
    """The shape of an object, by its colour or its place; none of what is written."""
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


def size_of(scene: Scene, rng: random.Random) -> Turn | None:
    """Whether an object is small or large."""
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


def written(scene: Scene, rng: random.Random) -> Turn:
    """The word or digit in the picture, or that there is none."""
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


def background(scene: Scene, rng: random.Random) -> Turn:
    """The colour of the background."""
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
