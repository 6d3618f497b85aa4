"""The language model with inexact word sums in the places of images."""

import pytest
import torch

from service.demo.text_side.codec import Codec
from service.demo.text_side.data_set import DialogueDataSet
from service.demo.text_side.model import TextModel
from service.demo.text_side.sequence import TrainingSequence
from service.demo.text_side.slots import SLOTS
from service.scenes.scene import (
    CELLS,
    draw_scene,
    rng_for,
)


def test_batches_are_padded_and_have_word_sums_in_the_slots(codec: Codec) -> None:
    samples = DialogueDataSet(codec.tokenizer, "test", 8, drills=4)
    batch = samples.collate([samples[index] for index in range(8)])
    model = TextModel(codec)
    for part in batch:
        assert part["ids"].shape == part["labels"].shape
        assert part["ids"].shape[1] <= 240
        embedded = model.embed(part).flatten(0, 1)
        table = model.llama.model.embed_tokens(part["ids"]).flatten(0, 1)
        changed = (embedded != table).any(-1).nonzero().flatten()
        assert set(changed.tolist()) == set(part["places"].tolist())
    loss, figures = model.loss(batch)
    assert torch.isfinite(loss)
    assert 0 <= figures["tokens right"] <= 1


def test_a_batch_in_parts_has_the_loss_of_the_whole_batch(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = DialogueDataSet(codec.tokenizer, "test", 16)
    sequences = [samples[index] for index in range(16)]
    model = TextModel(codec)
    # The noise would be drawn in another order.
    monkeypatch.setattr(model, "embed", lambda part: model.llama.model.embed_tokens(part["ids"]))
    parts = samples.collate(sequences)
    lengths = [part["ids"].shape[1] for part in parts]
    assert len(parts) == 4
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]
    in_parts, figures = model.loss(parts)
    whole, same_figures = model.loss([samples._pad(sequences)])
    torch.testing.assert_close(in_parts, whole)
    assert figures == pytest.approx(same_figures)


def test_the_distortion_is_a_linear_map_for_each_sequence(codec: Codec) -> None:
    samples = DialogueDataSet(codec.tokenizer, "test", 4, drills=4)
    [part] = samples.collate([samples[index] for index in range(4)])
    model = TextModel(codec)
    model.distortion = 1.0
    sums = torch.randn(len(part["places"]), model.width)
    sums[1], sums[13] = 2 * sums[0], 2 * sums[0]
    added = model._distort(sums, part)
    torch.testing.assert_close(added[1], 2 * added[0])
    assert torch.cosine_similarity(added[13], added[0], dim=0) < 0.9


def test_the_slant_is_the_same_in_all_slots_of_a_sequence(codec: Codec) -> None:
    samples = DialogueDataSet(codec.tokenizer, "test", 4, drills=4)
    [part] = samples.collate([samples[index] for index in range(4)])
    lengths = {}
    for asked in (0.2, 0.6):
        model = TextModel(codec)
        model.slant = asked
        slant = model._draw_slant(part)
        assert torch.equal(slant[1], slant[0])
        assert not torch.equal(slant[SLOTS], slant[0])
        lengths[asked] = slant.norm(dim=-1).mean()
    torch.testing.assert_close(lengths[0.6], 3 * lengths[0.2])


def test_a_resumed_run_continues_the_noise(codec: Codec) -> None:
    model = TextModel(codec)
    torch.rand(7, generator=model.noise)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    expected = torch.rand(3, generator=model.noise)
    resumed = TextModel(codec)
    resumed.load_state_dict(kept)
    assert torch.equal(torch.rand(3, generator=resumed.noise), expected)


def test_an_untrained_model_mostly_attends_to_the_slot_of_the_question(codec: Codec) -> None:
    torch.manual_seed(0)
    model = TextModel(codec)
    model.llama.set_attn_implementation("eager")
    asked = found = 0
    for index in range(60):
        rng = rng_for("recall", index)
        scene = draw_scene(rng)
        item = rng.choice(scene.objects)
        if item.text or scene.count(item.kind) > 1:
            continue
        sequence = TrainingSequence()
        sequence.append([codec.start])
        sequence.append_image(scene, rng)
        sequence.append(codec.encode_continuation(f" The {item.kind} is"), learn=True)
        [part] = DialogueDataSet(codec.tokenizer, "test", 1).collate([sequence])
        with torch.no_grad():
            seen = model.llama.model(inputs_embeds=model.embed(part), output_attentions=True)
        # The two heads of the second layer that look up, at the last word, over the nine cells.
        looked = seen.attentions[1][0, :2, len(sequence.ids) - 1, 1 : 1 + CELLS].mean(0)
        asked += 1
        found += int(looked.argmax()) == item.cell
    assert asked > 15
    # One in nine would be chance.
    assert found / asked > 0.5
