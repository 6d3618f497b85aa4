"""The build runs from seed to a folder, and training resumes as if it had not stopped."""

import dataclasses
import resource
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import nn

from service.demo import fit as fit_module
from service.demo.build import QUICK, build_demo
from service.demo.fit import Schedule, fit
from service.demo.vision_side import FIELDS, QUERIES, SceneLabels
from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.scenes.datasets import read_examples
from service.scenes.scene import draw_scene, rng_for
from service.vision.weights import load_vision_encoder


class Numbers(torch.utils.data.Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 10_000

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.randn(4, generator=torch.Generator().manual_seed(index))


def fitted(checkpoint: Path, killed_after: int | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    module = nn.Linear(4, 1)

    def loss(batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        return (module(batch).float() - batch.sum(1, keepdim=True)).pow(2).mean(), {}

    schedule = Schedule(steps=12, batch=4, learning_rate=0.1, warmup=2, save_every=5)
    save = fit_module._Fitting._save

    def dying(*arguments: Any) -> None:
        save(*arguments)
        if arguments[-1] == killed_after:
            raise KeyboardInterrupt

    with patch.object(fit_module._Fitting, "_save", dying):
        fit(module, Numbers(), torch.stack, loss, schedule, checkpoint, workers=0)
    return module.state_dict()


def test_a_killed_fit_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = fitted(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "killed.pt", killed_after=5)
    resumed = fitted(tmp_path / "killed.pt")
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor)


def test_no_room_for_a_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "fit.pt"
    with pytest.raises(KeyboardInterrupt):
        fitted(file, killed_after=5)
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(
            AlignmentError, match=r"fit\.pt cannot be written at step 10: .*run again"
        ):
            fitted(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before


def test_labels_say_what_the_picture_shows() -> None:
    samples = SceneLabels("labels", 4)
    sample = samples[2]
    rng = rng_for("labels", 2)
    scene = draw_scene(rng, crowded=rng.random() < 0.6)
    assert sample["pixels"].shape == (224, 224, 3)
    assert sample["fields"].shape == (QUERIES, len(FIELDS))
    there = {item.cell for item in scene.objects}
    empty = {cell for cell in range(9) if sample["fields"][cell, 0] == FIELDS["kind"] - 1}
    assert there | empty == set(range(9))
    assert not there & empty
    assert sample["fields"][10, 5] == len(scene.objects)
    assert 0 < sample["covered"].mean() < 0.6


def test_build_demo_writes_a_whole_folder_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = build_demo(tmp_path / "out", tmp_path / "work", QUICK)
    folder = ModelFolder.open(out)
    assert folder.index.family == "minigpt4-vicuna"
    assert folder.index.language_model == "language_model"
    encoder = load_vision_encoder(folder.vision)
    assert encoder.config.visual_tokens == folder.index.visual_tokens == QUERIES
    assert len(read_examples(out / "examples")) == 12
    assert "Apache-2.0" in (out / "MODEL_CARD.md").read_text()
    first = capsys.readouterr().err
    work = tmp_path / "work"
    trained = {file: file.read_bytes() for file in work.rglob("*.pt")}
    steps = {file: file.read_text() for file in work.rglob("history.jsonl")}
    assert len(trained) == 8 + 3 + 2, "rounds of the text side, of the vision side, and stages"
    assert len(steps) == 2
    # Everything is there already: the second build trains nothing.
    build_demo(tmp_path / "again", work, QUICK)
    said = capsys.readouterr().err
    assert "never sees an image" in first
    assert "never sees an image" not in said
    assert trained == {file: file.read_bytes() for file in trained}
    assert steps == {file: file.read_text() for file in steps}
    with pytest.raises(AlignmentError, match="another recipe"):
        build_demo(tmp_path / "third", work, dataclasses.replace(QUICK, captions=9))
    again = (tmp_path / "again" / "vision" / "model.safetensors").read_bytes()
    assert again == (out / "vision" / "model.safetensors").read_bytes()
