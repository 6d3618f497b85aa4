"""Training sequences and their slots."""

import random

from service.demo.text_side.codec import Codec
from service.demo.text_side.data_set import DialogueDataSet
from service.demo.text_side.dialogues import encode_conversation
from service.demo.text_side.lengths import LONG, SHORT
from service.demo.text_side.question_mixes import LONG_CYCLE, MIXED_CYCLE, MIXED_LENGTHS
from service.demo.text_side.slots import SLOTS, list_slot_words
from service.demo.vision_side.labels import QUERIES
from service.scenes.scene import (
    NUMBERS,
    draw_scene,
    rng_for,
)


def test_slots_describe_the_whole_scene_in_the_order_of_the_query_tokens() -> None:
    scene = draw_scene(rng_for("slots", 3))
    slots = list_slot_words(scene)
    assert len(slots) == SLOTS == QUERIES
    for item in scene.objects:
        assert {item.kind, item.colour, item.size} <= set(slots[item.cell])
    assert sum(slot[0] == "empty" for slot in slots) == 9 - len(scene.objects)
    assert slots[9:] == [
        ["background", "background", scene.background],
        ["objects", "objects", NUMBERS[len(scene.objects)]],
        ["written", "written", scene.written.text if scene.written else "nothing"],
    ]


def test_only_answers_are_learnt(codec: Codec) -> None:
    for index in range(30):
        sequence = encode_conversation(codec, random.Random(index))
        assert len(sequence.ids) == len(sequence.labels)
        learnt = [label for label in sequence.labels if label >= 0]
        assert learnt
        places = {place for place, _ in sequence.slots}
        assert len(places) % SLOTS == 0
        assert all(sequence.labels[place] < 0 for place in places)
        text = codec.tokenizer.decode(learnt)
        assert "Human" not in text
        assert "Assistant" not in text


def test_long_sequences_are_twice_as_long_and_have_json(codec: Codec) -> None:
    samples = DialogueDataSet(codec.tokenizer, "test", 80, cycle=LONG_CYCLE, lengths=(LONG,))
    sequences = [samples[index] for index in range(80)]
    assert sum(len(sequence.ids) >= LONG.drill for sequence in sequences) > 60
    assert all(part["ids"].shape[1] <= LONG.most for part in samples.collate(sequences[:16]))
    answers = [codec.tokenizer.decode(s.ids) for s in sequences[32:48]]
    assert all('{"background"' in answer for answer in answers)


def test_the_last_round_has_short_and_long_batches_in_turn(codec: Codec) -> None:
    number = 16 * len(MIXED_CYCLE)
    samples = DialogueDataSet(
        codec.tokenizer, "test", number, cycle=MIXED_CYCLE, lengths=MIXED_LENGTHS
    )
    batches = [
        [samples[16 * batch + row] for row in range(16)] for batch in range(len(MIXED_LENGTHS))
    ]
    for batch, lengths in zip(batches, MIXED_LENGTHS, strict=True):
        longest = max(len(sequence.ids) for sequence in batch)
        assert (longest > SHORT.most) == (lengths is LONG)
        assert all(part["ids"].shape[1] <= LONG.most for part in samples.collate(batch))
    learnt = [[label for label in sequence.labels if label >= 0] for sequence in batches[0]]
    assert all("yes" in said or "no" in said for said in map(codec.tokenizer.decode, learnt))
