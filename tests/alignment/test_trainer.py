"""Runs on a tiny folder: it learns, resumes exactly, survives what goes wrong, and writes a folder."""

import dataclasses
import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from service.alignment import checkpoint as checkpoint_module
from service.alignment.model import AlignmentModel
from service.alignment.presets import PRESETS
from service.alignment.processes import Processes
from service.alignment.sources import open_source
from service.alignment.trainer import RunSettings, Trainer
from service.errors import AlignmentError, DatasetError
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from service.vision.weights import load_vision_encoder
from tests.alignment.conftest import picture

STAGE = dataclasses.replace(
    PRESETS["demo-stage1"], batch=4, epochs=2, steps_per_epoch=6, learning_rate=1e-2, warmup_steps=2
)
ALONE = Processes(0, 1, torch.device("cpu"))


def trainer(folder, data, out, stage=STAGE, variant="published", fresh=True, **settings):
    model = AlignmentModel.load(ModelFolder.open(folder), variant, fresh=fresh)
    run = RunSettings(out, workers=0, checkpoint_steps=3, **settings)
    return Trainer(model, stage, [open_source(str(data))], [1.0], run, ALONE, variant)


def test_only_the_projection_learns_and_the_loss_falls(tiny_folder, colours, tmp_path):
    before = load_vision_encoder(tiny_folder / "vision").state_dict()
    run = trainer(tiny_folder, colours, tmp_path / "run")
    finished = ModelFolder.open(run.run())
    assert run.history[-1].loss < 0.8 * run.history[0].loss
    after = load_vision_encoder(finished.vision).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"projection.weight", "projection.bias"}
    saved = load_file(tmp_path / "run" / "projection.safetensors")
    assert torch.equal(saved["projection.weight"], after["projection.weight"])
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert Path(finished.language_model) == (tiny_folder / "language_model").resolve()


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tiny_folder, colours, tmp_path, monkeypatch
):
    whole = trainer(tiny_folder, colours, tmp_path / "whole")
    whole.run()
    killed = trainer(tiny_folder, colours, tmp_path / "killed")
    step = Trainer._step

    def dying(self, batch, rate, draw):
        if draw == 8:
            raise KeyboardInterrupt
        return step(self, batch, rate, draw)

    monkeypatch.setattr(Trainer, "_step", dying)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    monkeypatch.setattr(Trainer, "_step", step)
    resumed = trainer(tiny_folder, colours, tmp_path / "killed")
    resumed.run()
    assert [line.step for line in resumed.history] == [line.step for line in whole.history]
    for name, tensor in whole.model.state().items():
        torch.testing.assert_close(resumed.model.state()[name], tensor)


def test_another_run_does_not_resume(tiny_folder, colours, tmp_path):
    trainer(tiny_folder, colours, tmp_path / "run").run()
    other = dataclasses.replace(STAGE, learning_rate=5e-3)
    with pytest.raises(AlignmentError, match=r"learning_rate was 0.01 and is 0.005"):
        trainer(tiny_folder, colours, tmp_path / "run", other).run()


def test_a_full_disk_leaves_the_last_checkpoint(tiny_folder, colours, tmp_path, monkeypatch):
    out = tmp_path / "run"
    replace = checkpoint_module.replace_file

    def full(file, content):
        if (out / "checkpoint.pt").exists() and file.name == "checkpoint.pt":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(file, content)

    monkeypatch.setattr(checkpoint_module, "replace_file", full)
    with pytest.raises(AlignmentError, match=r"step 6 .* No space left .* intact"):
        trainer(tiny_folder, colours, out).run()
    monkeypatch.setattr(checkpoint_module, "replace_file", replace)
    resumed = trainer(tiny_folder, colours, out)
    assert resumed._resume() == 3
    assert [path.name for path in out.iterdir() if path.suffix == ".tmp"] == []


def test_bad_samples_are_counted_and_only_strict_runs_fail(tiny_folder, tmp_path, capsys):
    (tmp_path / "good.jpg").write_bytes(picture("red"))
    (tmp_path / "bad.jpg").write_bytes(b"no image at all")
    index = tmp_path / "list.jsonl"
    index.write_text(
        '{"image": "good.jpg", "caption": "a red square"}\nnonsense\n'
        '{"image": "bad.jpg", "caption": "x"}\n'
    )
    run = trainer(tiny_folder, index, tmp_path / "run")
    run.run()
    assert set(run.skipped) == {"no JSON", "an unusable image"}
    assert run.skipped["no JSON"] == 1
    said = capsys.readouterr().err
    assert f"{index}:2" in said
    assert f"{index}:3" in said
    assert f"Skipped {run.skipped.total()} bad samples (an unusable image: " in said
    # A run that goes on counts on.
    again = trainer(tiny_folder, index, tmp_path / "run")
    again.run()
    assert again.skipped == run.skipped
    with pytest.raises(DatasetError, match=r"list.jsonl:\d"):
        trainer(tiny_folder, index, tmp_path / "strict", strict=True).run()


@pytest.mark.parametrize(
    ("variant", "learns", "visual_tokens"),
    [
        ("no-qformer", {"projection.weight", "projection.bias"}, 64),
        (
            "three-layers",
            {f"projection.{n}.{p}" for n in (0, 2, 4) for p in ("weight", "bias")},
            32,
        ),
    ],
)
def test_variants(tiny_folder, colours, tmp_path, variant, learns, visual_tokens):
    short = dataclasses.replace(STAGE, epochs=1, steps_per_epoch=2)
    run = trainer(tiny_folder, colours, tmp_path / "run", short, variant)
    assert set(run.model.trained) == learns
    finished = ModelFolder.open(run.run())
    assert finished.index.visual_tokens == visual_tokens
    assert finished.index.without_qformer == (variant == "no-qformer")
    validate(finished)


def test_a_fine_tuned_qformer_learns_and_the_vit_does_not(tiny_folder, colours, tmp_path):
    before = load_vision_encoder(tiny_folder / "vision").state_dict()
    short = dataclasses.replace(STAGE, epochs=1, steps_per_epoch=2)
    finished = trainer(tiny_folder, colours, tmp_path / "run", short, "train-qformer").run()
    after = load_vision_encoder(finished / "vision").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("qformer.") for name in changed)
    assert not any(name.startswith(("vit.", "ln_vision.")) for name in changed)


def test_a_projection_that_does_not_fit_is_named(tiny_folder, colours, tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "projection.safetensors"
    save_file(
        {"projection.weight": torch.zeros(5120, 48), "projection.bias": torch.zeros(5120)}, file
    )
    model = AlignmentModel.load(ModelFolder.open(tiny_folder))
    with pytest.raises(AlignmentError, match="5120"):
        model.load_projection(file)


def test_padding_changes_no_sample(tiny_folder):
    from service.alignment.formats import TokenizedSample

    model = AlignmentModel.load(ModelFolder.open(tiny_folder))
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    samples = [
        TokenizedSample([1], [], [300, 301]),
        TokenizedSample([1, 400], [401, 402, 403], [300, 301, 302, 303]),
    ]
    with torch.no_grad():
        together = model.loss(pixels, samples)
        alone = [model.loss(pixels[i : i + 1], samples[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, (2 * alone[0] + 4 * alone[1]) / 6)


@pytest.mark.parametrize(("most_bytes", "encoded"), [(10**9, 4), (0, 48)])
def test_kept_features_change_nothing_but_the_work(
    tiny_folder, colours, tmp_path, most_bytes, encoded
):
    plain = trainer(tiny_folder, colours, tmp_path / "plain")
    plain.run()
    keeping = trainer(tiny_folder, colours, tmp_path / "keeping")
    encode, seen = keeping.model.encoder.visual_features, []

    def counted(pixels):
        seen.append(len(pixels))
        return encode(pixels)

    keeping.model.encoder.visual_features = counted
    keeping.model.keep_features(most_bytes)
    keeping.run()
    assert sum(seen) == encoded
    for name, tensor in plain.model.state().items():
        torch.testing.assert_close(keeping.model.state()[name], tensor, rtol=0.02, atol=1e-4)


def test_features_are_not_kept_where_the_qformer_learns(tiny_folder):
    model = AlignmentModel.load(ModelFolder.open(tiny_folder), "train-qformer", fresh=True)
    model.keep_features(10**9)
    assert model.features == model.encoder.visual_features


@pytest.mark.parametrize("variant", ["published", "three-layers"])
def test_only_the_last_layer_of_a_new_projection_starts_small(tiny_folder, variant):
    def start(**options):
        folder = ModelFolder.open(tiny_folder)
        return AlignmentModel.load(folder, variant, fresh=True, **options).state()

    plain, small = start(), start(initial_scale=0.25)
    last = sorted(plain)[-2:]
    for name, tensor in plain.items():
        torch.testing.assert_close(small[name], tensor * 0.25 if name in last else tensor)
