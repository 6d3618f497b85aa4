"""Conversations, drills and captions about random scenes as training sequences."""

import random
from collections.abc import Callable

from service.demo.text_side.codec import Codec
from service.demo.text_side.lengths import SHORT, Lengths
from service.demo.text_side.sequence import TrainingSequence
from service.demo.text_side.tokenizer import SYSTEM
from service.scenes.conversations.asking import ask, ask_without_image, make_casual
from service.scenes.conversations.descriptions import make_web_caption
from service.scenes.conversations.small_talk import make_small_talk
from service.scenes.conversations.two_images import compare
from service.scenes.scene import Scene, draw_scene
from service.training.tokenization import normalise_caption

_SPACE_BEFORE_TAG = 0.25
"""Share of answers with a space before ``###``: stage 2 has it, the demo's prompt does not."""

_LONE_SPACE = 0.7
"""Share of answers after a lone space: a prompt ends with one, earlier answers do not."""

QuestionAndAnswer = tuple[str, str]


def encode_drill(
    codec: Codec, rng: random.Random, kinds: tuple[str, ...], lengths: Lengths = SHORT
) -> TrainingSequence:
    """Encode nothing but questions of these kinds about one image."""
    return _Dialogue(codec, rng, lengths).drill(kinds)


def encode_comparison(
    codec: Codec, rng: random.Random, lengths: Lengths = SHORT
) -> TrainingSequence:
    """Encode nothing but questions about two images."""
    return _Dialogue(codec, rng, lengths).talk_about_two_images("###Human:")


def encode_conversation(
    codec: Codec, rng: random.Random, lengths: Lengths = SHORT
) -> TrainingSequence:
    """Encode captions in stage 1's format, or a chat about no image, one image or two."""
    dialogue = _Dialogue(codec, rng, lengths)
    style = rng.random()
    if style < 0.10:
        return _encode_captions(codec, rng)
    opening = (SYSTEM if rng.random() < 0.5 else "") + "###Human:"
    if style < 0.18:
        return dialogue.chat(opening)
    if style < 0.27:
        return dialogue.talk_about_two_images(opening)
    return dialogue.talk_about_one_image(opening)


def _encode_captions(codec: Codec, rng: random.Random) -> TrainingSequence:
    sequence = TrainingSequence()
    for _ in range(4):
        scene = draw_scene(rng)
        sequence.append([codec.start])
        sequence.append_image(scene, rng)
        caption = normalise_caption(make_web_caption(scene, rng))
        sequence.append(codec.encode_segment(caption + "\n"), learn=True)
    return sequence


class _Dialogue:
    """Builds one sequence, which starts with ``<s>``."""

    def __init__(self, codec: Codec, rng: random.Random, lengths: Lengths) -> None:
        self._codec, self._rng, self._lengths = codec, rng, lengths
        self._sequence = TrainingSequence()
        self._sequence.append([codec.start])

    def drill(self, kinds: tuple[str, ...]) -> TrainingSequence:
        scene = draw_scene(self._rng)
        self._start_segment("###Human: <Img>")
        self._sequence.append_image(scene, self._rng)
        self._start_segment("</Img>")

        def draw() -> QuestionAndAnswer:
            turn = ask(scene, self._rng, self._rng.choice(kinds))
            return turn.question, turn.answer

        return self._add_turns(draw, self._lengths.drill)

    def chat(self, opening: str) -> TrainingSequence:
        self._start_segment(opening)
        for number in range(self._rng.randint(2, 5)):
            if self._rng.random() < 0.6:
                turn = make_small_talk(self._rng)
            else:
                turn = ask_without_image(draw_scene(self._rng), self._rng)
            if number:
                self._continue("Human:")
            self._ask(make_casual(turn.question, self._rng), turn.answer)
        return self._sequence

    def talk_about_one_image(self, opening: str) -> TrainingSequence:
        scene = draw_scene(self._rng)
        comes_late = self._rng.random() < 0.08
        self._start_segment(opening)
        if comes_late:
            turn = make_small_talk(self._rng)
            self._ask(make_casual(turn.question, self._rng), turn.answer)
            self._continue("Human:")
        self._continue(" <Img>")
        self._sequence.append_image(scene, self._rng)
        self._start_segment("</Img>")

        def draw() -> QuestionAndAnswer:
            is_talk = self._rng.random() < 0.04
            turn = make_small_talk(self._rng) if is_talk else ask(scene, self._rng)
            return make_casual(turn.question, self._rng), turn.answer

        return self._add_turns(draw, self._lengths.conversation)

    def talk_about_two_images(self, opening: str) -> TrainingSequence:
        scenes = draw_scene(self._rng), draw_scene(self._rng)
        self._start_segment(f"{opening} <Img>")
        self._sequence.append_image(scenes[0], self._rng)
        self._append_second_image(*scenes)
        self._start_segment("</Img>")

        def draw() -> QuestionAndAnswer:
            turn = compare(*scenes, self._rng)
            return make_casual(turn.question, self._rng), turn.answer

        return self._add_turns(draw, self._lengths.conversation)

    def _append_second_image(self, first: Scene, second: Scene) -> None:
        """Append the second image, in the same message or after a question about the first."""
        if self._rng.random() < 0.35:
            turn = ask(first, self._rng)
            self._start_segment(f"</Img> {make_casual(turn.question, self._rng)}")
            self._answer(turn.answer)
            self._continue("Human: <Img>")
        else:
            self._start_segment("</Img> <Img>")
        self._sequence.append_image(second, self._rng)

    def _add_turns(self, draw: Callable[[], QuestionAndAnswer], length: int) -> TrainingSequence:
        """Add at least one turn, and more until the sequence has ``length`` tokens."""
        is_first = True
        while is_first or len(self._sequence.ids) < length:
            question, answer = draw()
            if not is_first:
                self._continue("Human:")
            self._ask(question, answer)
            is_first = False
        return self._sequence

    def _ask(self, question: str, answer: str) -> None:
        self._continue(f" {question}")
        self._answer(answer)

    def _answer(self, answer: str) -> None:
        space = " " if self._rng.random() < _SPACE_BEFORE_TAG else ""
        self._continue(f"{space}###Assistant:")
        if self._rng.random() < _LONE_SPACE:
            self._continue(" ")
        self._sequence.append(self._codec.encode_continuation(f" {answer}###"), learn=True)

    def _start_segment(self, text: str) -> None:
        self._sequence.append(self._codec.encode_segment(text))

    def _continue(self, text: str) -> None:
        self._sequence.append(self._codec.encode_continuation(text))
