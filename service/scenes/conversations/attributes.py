"""Questions about the colour, shape and size of an object, the written text, and the background."""

import random

from service.scenes.conversations.wording import Turn, describe_place
from service.scenes.scene import Scene, SceneObject


def ask_colour(scene: Scene, rng: random.Random) -> Turn:
    """Ask for the colour of an object, by its name if it is unique, else by its place."""
    item = rng.choice(scene.objects)
    if item.text:
        name = item.noun if rng.random() < 0.5 else item.kind
    elif scene.count(item.kind) == 1:
        name = item.noun
    else:
        return _ask_colour_at(item, rng)
    if rng.random() < 0.25:
        return _ask_colour_at(item, rng)
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


def _ask_colour_at(item: SceneObject, rng: random.Random) -> Turn:
    where = describe_place(item.cell)
    word = rng.choice(("colour", "colour", "color"))
    question = rng.choice(
        (
            f"What {word} is the object {where}?",
            f"What is the {word} of the object {where}?",
            f"Which {word} does the object {where} have?",
        )
    )
    return Turn("colour", question, f"The object {where} is {item.colour}.", item.colour)


def ask_shape(scene: Scene, rng: random.Random) -> Turn | None:
    """Ask for the shape of an object, by its colour or its place; None for a text."""
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
    where = describe_place(item.cell)
    question = rng.choice(
        (
            f"What shape is {where}?",
            f"Which shape is {where}?",
            f"What shape is the object {where}?",
            f"What is the shape of the object {where}?",
        )
    )
    return Turn("shape", question, f"The object {where} is a {item.kind}.", item.kind)


def ask_size(scene: Scene, rng: random.Random) -> Turn | None:
    """Ask whether an object is small or large; None if it has no unique name."""
    item = rng.choice(scene.objects)
    name = scene.name_object(item)
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


def ask_written(scene: Scene, rng: random.Random) -> Turn:
    """Ask for the word or digit in the picture; there may be none."""
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


def ask_background(scene: Scene, rng: random.Random) -> Turn:
    """Ask for the colour of the background."""
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
