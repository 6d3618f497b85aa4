"""Questions about two images."""

import random

from service.scenes.conversations.wording import Turn, count_objects, describe_object, join_words
from service.scenes.scene import Scene


def compare(first: Scene, second: Scene, rng: random.Random) -> Turn:
    """Ask about two images: about both, or about the first or the second."""
    style = rng.randrange(5)
    picture = rng.choice(("picture", "image"))
    if style == 0:
        return _which_has_more(first, second, rng, picture)
    which = rng.randrange(2)
    if style < 4:
        scene, name = (first, second)[which], ("first", "second")[which]
        return _about_one(scene, name, rng, picture, style)
    question = rng.choice(
        (
            f"Compare the two {picture}s.",
            f"What is the difference between the two {picture}s?",
            f"How do the {picture}s differ?",
        )
    )
    answer = f"The first picture shows {_summary(first)}, and the second shows {_summary(second)}."
    return Turn("compare", question, answer, "", 2)


def _summary(scene: Scene) -> str:
    return f"{count_objects(len(scene.objects))} on a {scene.background} background"


def _which_has_more(first: Scene, second: Scene, rng: random.Random, picture: str) -> Turn:
    counts = len(first.objects), len(second.objects)
    question = rng.choice(
        (
            f"Which {picture} has more objects?",
            f"Which of the two {picture}s shows more objects?",
        )
    )
    shown = (
        f"The first picture shows {count_objects(counts[0])} "
        f"and the second shows {count_objects(counts[1])}"
    )
    if counts[0] == counts[1]:
        return Turn("compare", question, f"{shown}, so both have as many.", "both", 2)
    more = "first" if counts[0] > counts[1] else "second"
    return Turn("compare", question, f"{shown}, so the {more} has more.", more, 2)


def _about_one(scene: Scene, name: str, rng: random.Random, picture: str, style: int) -> Turn:
    if style == 1:
        question = f"How many objects are in the {name} {picture}?"
        number = len(scene.objects)
        answer = (
            f"There {'is' if number == 1 else 'are'} {count_objects(number)} in the {name} picture."
        )
        return Turn("compare", question, answer, str(number), 2)
    if style == 2:
        question = f"What colour is the background of the {name} {picture}?"
        answer = f"The background of the {name} picture is {scene.background}."
        return Turn("compare", question, answer, scene.background, 2)
    question = rng.choice((f"What is in the {name} {picture}?", f"Describe the {name} {picture}."))
    items = [describe_object(item, size=False) for item in scene.objects]
    answer = f"The {name} picture shows {join_words(items)} on a {scene.background} background."
    return Turn("compare", question, answer, "", 2)
