"""A validation part: its loss, the best checkpoint, and numbered checkpoints."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from service.errors import DatasetError
from service.model_folder.layout import ModelFolder
from service.training.checkpoint import BEST
from service.training.held_out import hold_out
from service.training.model import AlignmentModel, FrozenSettings
from service.training.sources import open_data_set
from service.training.validation import Validation
from service.vision.weights import load_vision_encoder
from tests.training.conftest import picture, write_shard
from tests.training.runs import ALONE, STAGE, around_image, make_trainer


def make_validation(colours: Path) -> Validation:
    _, held_out = hold_out([open_data_set(str(colours))], 0.5, None, None, seed=0)
    return Validation(held_out, STAGE, 0, ALONE)


def test_the_finished_folder_holds_the_best_checkpoint(
    tiny_folder: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 1.0, 2.0, 2.5])
    monkeypatch.setattr(Validation, "measure", lambda self, model: next(losses))
    trainer = make_trainer(
        tiny_folder, colours, tmp_path / "run", validation=make_validation(colours), keep_every=3
    )
    finished = ModelFolder.open(trainer.run())
    out = tmp_path / "run"
    numbered = sorted(file.name for file in (out / "checkpoints").iterdir())
    assert numbered == [f"step-{step:06}.safetensors" for step in (3, 6, 9, 12)]
    best = load_file(out / BEST)
    saved = load_vision_encoder(finished.vision).state_dict()
    second = load_file(out / "checkpoints" / "step-000006.safetensors")
    for name, tensor in best.items():
        assert torch.equal(saved[name], tensor)
        assert torch.equal(second[name], tensor)
    assert finished.index.provenance is not None
    assert "step 6: lowest validation loss 1.0000" in finished.index.provenance.notes[1]
    assert (out / "loss.png").stat().st_size > 1000


def test_the_loss_is_the_mean_over_all_target_tokens(tiny_folder: Path, tmp_path: Path) -> None:
    lines = []
    for number, caption in enumerate(("a red square", "a blue", "one two three four five")):
        (tmp_path / f"{number}.jpg").write_bytes(picture(("red", "blue", "green")[number]))
        lines.append(json.dumps({"image": f"{number}.jpg", "caption": caption}))
    lines.append(json.dumps({"image": "none.jpg", "caption": "gone"}))
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    _, held_out = hold_out([], 0, str(tmp_path / "list.jsonl"), None, seed=0)
    model = AlignmentModel.load(ModelFolder.open(tiny_folder))
    whole = Validation(held_out, replace(STAGE, batch=8), 0, ALONE)
    pairs = Validation(held_out, replace(STAGE, batch=2), 0, ALONE)
    assert whole.samples == 4
    assert pairs.measure(model) == pytest.approx(whole.measure(model), rel=1e-3)
    assert all(parameter.grad is None for parameter in model.trained.values())


def test_shards_cannot_be_validated_on(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"0": {"jpg": picture("red"), "txt": b"red"}})
    source = open_data_set(str(tmp_path / "a.tar"))
    with pytest.raises(DatasetError, match="only a list"):
        hold_out([source], 0.1, None, None, seed=0)
    with pytest.raises(DatasetError, match="only a list"):
        hold_out([source], 0, str(tmp_path / "a.tar"), None, seed=0)


def test_a_learning_qformer_has_dropout_in_training_only(tiny_folder: Path) -> None:
    model = AlignmentModel.load(ModelFolder.open(tiny_folder), "train-qformer")
    pixels = torch.zeros(1, 224, 224, 3, dtype=torch.uint8)
    sample = around_image([1, 400], [401], [300, 301, 302])

    def compute() -> float:
        return float(model.loss(pixels, [sample]).detach())

    assert len({compute() for _ in range(3)}) > 1
    with model.evaluating():
        assert len({compute() for _ in range(3)}) == 1
    assert not model.encoder.vit.training


def test_a_vit_in_float16_gives_nearly_the_same_embeddings(tiny_folder: Path) -> None:
    folder = ModelFolder.open(tiny_folder)
    plain = AlignmentModel.load(folder)
    half = AlignmentModel.load(folder, frozen=FrozenSettings(vision_dtype="float16"))
    assert {p.dtype for p in half.encoder.vit.parameters()} == {torch.float16}
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected, found = plain.features(pixels), half.features(pixels).float()
    assert torch.nn.functional.cosine_similarity(found, expected, dim=-1).min() > 0.999
