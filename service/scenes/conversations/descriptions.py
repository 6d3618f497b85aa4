"""Texts about the whole scene: captions (stage 1), descriptions (stage 2), poems, JSON."""

import json
import random

from service.prompt.instructions import STAGE2_INSTRUCTIONS
from service.scenes.conversations.wording import (
    Turn,
    capitalise,
    count_objects,
    describe_object,
    describe_place,
    join_words,
)
from service.scenes.scene import Scene, SceneObject


def make_web_caption(scene: Scene, rng: random.Random) -> str:
    """Return a short caption like those of the web: true, but most of the scene is left out."""
    items = list(scene.objects)
    some = sorted(rng.sample(items, min(rng.choice((1, 2, 2, 3)), len(items))), key=_by_cell)
    back = f"on a {scene.background} background"
    style = rng.randrange(7)
    if style == 0:
        return f"{count_objects(len(items))} {back}"
    if style == 6:
        text = f"{scene.written.noun} is written" if scene.written else "nothing is written"
        return f"{text} {back}"
    if style == 1:
        return f"{describe_object(some[0])} {describe_place(some[0].cell)}"
    if style == 2:
        return f"{join_words([describe_object(item, size=False) for item in some])} {back}"
    if style == 3:
        return join_words(
            [
                f"{describe_object(item, size=False)} {describe_place(item.cell)}"
                for item in some[:2]
            ]
        )
    if style == 4:
        return f"a picture of {join_words([describe_object(item) for item in some])}"
    return join_words([describe_object(item, size=False) for item in some])


def make_description(scene: Scene, rng: random.Random) -> str:
    """Return a detailed description: number, background, the objects in reading order, the text."""
    number, back = len(scene.objects), scene.background
    verb = "is" if number == 1 else "are"
    opening = rng.choice(
        (
            f"The picture shows {count_objects(number)} on a {back} background.",
            f"There {verb} {count_objects(number)} on a {back} background.",
            f"This image has a {back} background with {count_objects(number)}.",
        )
    )
    text = f"The {scene.written.noun}" if scene.written else "Nothing"
    sentences = [
        f"{capitalise(describe_place(item.cell))}, there is {describe_object(item)}."
        for item in scene.objects
    ]
    return " ".join([opening, *sentences, f"{text} is written."])


def _by_cell(item: SceneObject) -> int:
    return item.cell


def ask_description(scene: Scene, rng: random.Random) -> Turn:
    """Ask for a detailed description."""
    question = rng.choice(
        (
            *STAGE2_INSTRUCTIONS,
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
    return Turn("describe", question, make_description(scene, rng))


def ask_caption(scene: Scene, rng: random.Random) -> Turn:
    """Ask for a caption: one sentence with every object."""
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
    items = [describe_object(item, size=False) for item in scene.objects]
    answer = f"{capitalise(join_words(items))} on a {scene.background} background."
    return Turn("caption", question, answer)


def ask_poem(scene: Scene, rng: random.Random) -> Turn:
    """Ask for a poem: four lines in rhyme about the first and the last object."""
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
    one, other = _name_in_poem(first), _name_in_poem(last)
    back = scene.background
    opening = rng.choice(
        (
            f"{capitalise(one)} is here to stay,\nit brightens up a {back} day.",
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


def _name_in_poem(item: SceneObject) -> str:
    return f"the {item.noun} in {item.colour}" if item.text else f"the {item.colour} {item.kind}"


def ask_json(scene: Scene, rng: random.Random) -> Turn:
    """Ask for the background and the objects as JSON."""
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
