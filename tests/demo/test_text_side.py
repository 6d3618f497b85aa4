"""The text side: tokenizer, sequences, and what the language model reads in an image's place."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from service.demo.sequences import (
    LONG,
    LONG_SORTS,
    MIXED,
    MIXED_SORTS,
    SHORT,
    Conversations,
    Encoded,
    encode_conversation,
)
from service.demo.slots import PLACES, SLOTS, slot_words
from service.demo.text_side import TextStudent
from service.demo.tokens import SYSTEM, Codec, learn_tokenizer
from service.demo.vision_side import QUERIES
from service.families import FAMILIES, IMAGE_TOKEN
from service.prompt.tokenizer import read_chat_template, write_tokenizer
from service.scenes.conversations.wording import place_phrase
from service.scenes.scene import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    KINDS,
    NUMBERS,
    SIZES,
    TEXTS,
    draw_scene,
    rng_for,
)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(learn_tokenizer())


def test_the_tokenizer_is_reproducible_and_keeps_words_and_marks_whole(codec: Codec) -> None:
    assert learn_tokenizer().to_str() == codec.tokenizer.to_str()
    for word in (*KINDS, *COLOURS, *SIZES, *BACKGROUNDS, *NUMBERS):
        assert len(codec.begin(word)) == 1, word
        assert len(codec.go_on(word)) == 1, word
    pieces = codec.tokenizer.encode("a star.###Human: ###", add_special_tokens=False).tokens
    assert pieces[-6:] == [".", "###", "Human", ":", "▁###"] or pieces[-1] == "▁###"
    assert "###" in pieces
    assert len({codec.word(text) for text in TEXTS}) == len(TEXTS)


def test_sequences_are_what_the_chat_template_and_tokenizer_give(
    codec: Codec, tmp_path: Path
) -> None:
    from transformers import PreTrainedTokenizerFast

    whole = Tokenizer.from_str(codec.tokenizer.to_str())
    write_tokenizer(whole, FAMILIES["minigpt4-vicuna"], tmp_path)
    rendered = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), bos_token="<s>", eos_token="</s>"
    )
    rendered.chat_template = read_chat_template(FAMILIES["minigpt4-vicuna"])
    messages: Any = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is there?"}]}
    ]
    prompt = rendered.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    expected = rendered(prompt, add_special_tokens=False)["input_ids"]
    image = rendered.convert_tokens_to_ids(IMAGE_TOKEN)
    ours = [
        codec.start,
        *codec.begin(f"{SYSTEM}###Human: <Img>"),
        image,
        *codec.begin("</Img> What is there?###Assistant: "),
    ]
    assert ours == expected


def test_slots_say_all_of_a_scene_in_the_vision_side_s_order() -> None:
    scene = draw_scene(rng_for("slots", 3))
    slots = slot_words(scene)
    assert len(slots) == SLOTS == QUERIES
    for item in scene.objects:
        assert {item.kind, item.colour, item.size} <= set(slots[item.cell])
    assert sum(slot[0] == "empty" for slot in slots) == 9 - len(scene.objects)
    assert slots[9:] == [
        ["background", "background", scene.background],
        ["objects", "objects", NUMBERS[len(scene.objects)]],
        ["written", "written", scene.written.text if scene.written else "nothing"],
    ]


def test_every_place_is_one_piece_of_its_own(codec: Codec) -> None:
    ids = {codec.word(place) for place in PLACES}
    assert len(ids) == CELLS
    for cell, place in enumerate(PLACES):
        assert codec.word(place) in codec.begin(place_phrase(cell))
        assert len(ids & set(codec.begin(f"It is {place_phrase(cell)}."))) == 1


def test_an_untrained_model_mostly_finds_the_slot_that_a_question_is_about(codec: Codec) -> None:
    torch.manual_seed(0)
    student = TextStudent(codec)
    student.llama.set_attn_implementation("eager")
    asked = found = 0
    for index in range(60):
        rng = rng_for("recall", index)
        scene = draw_scene(rng)
        item = rng.choice(scene.objects)
        if item.text or scene.count(item.kind) > 1:
            continue
        encoded = Encoded()
        encoded.say([codec.start])
        encoded.show(scene, rng)
        encoded.say(codec.go_on(f" The {item.kind} is"), learn=True)
        [part] = Conversations(codec.tokenizer, "test", 1).collate([encoded])
        with torch.no_grad():
            seen = student.llama.model(inputs_embeds=student.embed(part), output_attentions=True)
        # The two heads of the second layer that look up, at the last word, over the nine cells.
        looked = seen.attentions[1][0, :2, len(encoded.ids) - 1, 1 : 1 + CELLS].mean(0)
        asked += 1
        found += int(looked.argmax()) == item.cell
    assert asked > 15
    # One in nine would be chance.
    assert found / asked > 0.5


def test_only_answers_are_learnt(codec: Codec) -> None:
    for index in range(30):
        encoded = encode_conversation(codec, random.Random(index))
        assert len(encoded.ids) == len(encoded.labels)
        learnt = [label for label in encoded.labels if label >= 0]
        assert learnt
        places = {place for place, _ in encoded.slots}
        assert len(places) % SLOTS == 0
        assert all(encoded.labels[place] < 0 for place in places)
        text = codec.tokenizer.decode(learnt)
        assert "Human" not in text
        assert "Assistant" not in text


def test_batches_are_padded_and_put_sums_in_the_slots(codec: Codec) -> None:
    samples = Conversations(codec.tokenizer, "test", 8, drills=4)
    batch = samples.collate([samples[index] for index in range(8)])
    student = TextStudent(codec)
    for part in batch:
        assert part["ids"].shape == part["labels"].shape
        assert part["ids"].shape[1] <= 240
        embedded = student.embed(part).flatten(0, 1)
        table = student.llama.model.embed_tokens(part["ids"]).flatten(0, 1)
        changed = (embedded != table).any(-1).nonzero().flatten()
        assert set(changed.tolist()) == set(part["places"].tolist())
    loss, figures = student.loss(batch)
    assert torch.isfinite(loss)
    assert 0 <= figures["tokens right"] <= 1


def test_a_batch_in_parts_has_the_loss_of_the_whole_batch(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = Conversations(codec.tokenizer, "test", 16)
    sequences = [samples[index] for index in range(16)]
    student = TextStudent(codec)
    # The noise would be drawn in another order.
    monkeypatch.setattr(
        student, "embed", lambda part: student.llama.model.embed_tokens(part["ids"])
    )
    parts = samples.collate(sequences)
    lengths = [part["ids"].shape[1] for part in parts]
    assert len(parts) == 4
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]
    in_parts, figures = student.loss(parts)
    whole, same_figures = student.loss([samples._pad(sequences)])
    torch.testing.assert_close(in_parts, whole)
    assert figures == pytest.approx(same_figures)


def test_a_distortion_is_one_linear_map_for_each_sequence(codec: Codec) -> None:
    samples = Conversations(codec.tokenizer, "test", 4, drills=4)
    [part] = samples.collate([samples[index] for index in range(4)])
    student = TextStudent(codec)
    student.distortion = 1.0
    sums = torch.randn(len(part["places"]), student.width)
    sums[1], sums[13] = 2 * sums[0], 2 * sums[0]
    added = student._distortion(sums, part)
    torch.testing.assert_close(added[1], 2 * added[0])
    assert torch.cosine_similarity(added[13], added[0], dim=0) < 0.9


def test_a_slant_is_common_to_a_sequence_and_as_large_as_asked(codec: Codec) -> None:
    samples = Conversations(codec.tokenizer, "test", 4, drills=4)
    [part] = samples.collate([samples[index] for index in range(4)])
    lengths = {}
    for asked in (0.2, 0.6):
        student = TextStudent(codec)
        student.slant = asked
        slant = student._slant(part)
        assert torch.equal(slant[1], slant[0])
        assert not torch.equal(slant[SLOTS], slant[0])
        lengths[asked] = slant.norm(dim=-1).mean()
    torch.testing.assert_close(lengths[0.6], 3 * lengths[0.2])


def test_the_noise_goes_on_where_a_checkpoint_left_it(codec: Codec) -> None:
    student = TextStudent(codec)
    torch.rand(7, generator=student.noise)
    kept = {name: value.clone() for name, value in student.state_dict().items()}
    expected = torch.rand(3, generator=student.noise)
    resumed = TextStudent(codec)
    resumed.load_state_dict(kept)
    assert torch.equal(torch.rand(3, generator=resumed.noise), expected)


def test_long_sequences_are_twice_as_long_and_hold_json(codec: Codec) -> None:
    samples = Conversations(codec.tokenizer, "test", 80, sorts=LONG_SORTS, lengths=(LONG,))
    sequences = [samples[index] for index in range(80)]
    assert sum(len(sequence.ids) >= LONG.drill for sequence in sequences) > 60
    assert all(part["ids"].shape[1] <= LONG.most for part in samples.collate(sequences[:16]))
    answers = [codec.tokenizer.decode(s.ids) for s in sequences[32:48]]
    assert all('{"background"' in answer for answer in answers)


def test_the_last_round_has_short_and_long_sequences_in_turn(codec: Codec) -> None:
    number = 16 * len(MIXED_SORTS)
    samples = Conversations(codec.tokenizer, "test", number, sorts=MIXED_SORTS, lengths=MIXED)
    batches = [[samples[16 * batch + row] for row in range(16)] for batch in range(len(MIXED))]
    for batch, lengths in zip(batches, MIXED, strict=True):
        longest = max(len(sequence.ids) for sequence in batch)
        assert (longest > SHORT.most) == (lengths is LONG)
        assert all(part["ids"].shape[1] <= LONG.most for part in samples.collate(batch))
    learnt = [[label for label in sequence.labels if label >= 0] for sequence in batches[0]]
    assert all("yes" in said or "no" in said for said in map(codec.tokenizer.decode, learnt))
