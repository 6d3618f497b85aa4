"""Turns that need no image, and questions that no image answers."""

import random

from service.scenes.conversations.wording import Turn
from service.scenes.scene import Scene


def ask_unanswerable(scene: Scene, rng: random.Random) -> Turn:
    """Ask what no picture of this kind answers."""
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


_HELP = (
    "I answer questions about simple pictures: shapes, colours, sizes, places, numbers and "
    "short words."
)
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


def make_small_talk(rng: random.Random) -> Turn:
    """Return a turn that needs no image."""
    questions, answers = rng.choice(_TALK)
    return Turn("talk", rng.choice(questions), rng.choice(answers), images=0)
