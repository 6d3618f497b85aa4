"""Runs on a tiny folder: it learns, resumes exactly, survives what goes wrong, and writes a folder."""

import dataclasses
import errno
import multiprocessing
import resource
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from service.checkpoints.random_model import init_model
from service.errors import AlignmentError, DatasetError
from service.families import Family
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from service.training import checkpoint as checkpoint_module
from service.training import trainer as trainer_module
from service.training.batches import Batch
from service.training.checkpoint import load_checkpoint
from service.training.formats import TokenizedSample
from service.training.model import AlignmentModel, Variant
from service.training.presets import PRESETS, Stage
from service.training.processes import Processes
from service.training.sources import open_source
from service.training.trainer import RunSettings, Trainer
from service.vision.weights import load_vision_encoder
from tests.training.conftest import picture

STAGE = dataclasses.replace(
    PRESETS["demo-stage1"], batch=4, epochs=2, steps_per_epoch=6, learning_rate=1e-2, warmup_steps=2
)
ALONE = Processes(0, 1, torch.device("cpu"))


def trainer(
    folder: Path,
    data: Path,
    out: Path,
    stage: Stage = STAGE,
    variant: Variant = "published",
    fresh: bool = True,
    ratio: float = 1.0,
    **settings: Any,
) -> Trainer:
    model = AlignmentModel.load(ModelFolder.open(folder), variant, fresh=fresh)
    run = RunSettings(out, **{"workers": 0, "checkpoint_steps": 3} | settings)
    return Trainer(model, stage, [open_source(str(data))], [ratio], run, ALONE, variant)


def resumed_at(run: Trainer) -> int:
    """The step of the checkpoint that ``run`` has written."""
    progress = load_checkpoint(run.settings.out, run.described)
    assert progress is not None
    return progress.step


def test_only_the_projection_learns_and_the_loss_falls(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
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


@pytest.mark.parametrize(("workers", "dies_at", "saved"), [(0, 8, 6), (2, 8, 7)])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tiny_folder: Path,
    spotted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    dies_at: int,
    saved: int,
) -> None:
    # Lines of the history end at every fourth step, checkpoints elsewhere.
    monkeypatch.setattr(trainer_module, "_HISTORY_LINES", 3)
    settings: dict[str, Any] = {"workers": workers, "checkpoint_steps": 7 if workers else 3}
    whole = trainer(tiny_folder, spotted, tmp_path / "whole", **settings)
    whole.run()
    killed = trainer(tiny_folder, spotted, tmp_path / "killed", **settings)
    step = Trainer._step

    def dying(self: Trainer, batch: Batch, rate: float, draw: int) -> float:
        if draw == dies_at:
            raise KeyboardInterrupt
        return step(self, batch, rate, draw)

    monkeypatch.setattr(Trainer, "_step", dying)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    monkeypatch.setattr(Trainer, "_step", step)
    assert resumed_at(killed) == saved
    resumed = trainer(tiny_folder, spotted, tmp_path / "killed", **settings)
    resumed.run()
    assert [line.step for line in whole.history] == [4, 8, 12]
    for after, line in zip(resumed.history, whole.history, strict=True):
        assert after.step == line.step
        assert after.loss == pytest.approx(line.loss, rel=1e-3)
    assert resumed.skipped == whole.skipped
    assert set(whole.skipped) == {"no JSON", "a missing image"}
    for name, tensor in whole.model.state().items():
        torch.testing.assert_close(resumed.model.state()[name], tensor)


@pytest.mark.parametrize(
    ("every", "steps"), [(4, [4, 6, 8, 12]), (5, [5, 6, 10, 12]), (500, [6, 12])]
)
def test_checkpoints_come_every_so_many_steps_and_at_each_epochs_end(
    tiny_folder: Path, colours: Path, tmp_path: Path, every: int, steps: list[int]
) -> None:
    run = trainer(tiny_folder, colours, tmp_path / "run", checkpoint_steps=every, workers=2)
    assert [done for done in range(1, 13) if run._checkpoint_is_due(done)] == steps


def test_another_run_does_not_resume(tiny_folder: Path, colours: Path, tmp_path: Path) -> None:
    trainer(tiny_folder, colours, tmp_path / "run").run()
    other = dataclasses.replace(STAGE, learning_rate=5e-3)
    with pytest.raises(AlignmentError, match=r"learning_rate was 0.01 and is 0.005"):
        trainer(tiny_folder, colours, tmp_path / "run", other).run()


def test_another_model_does_not_resume(tiny_folder: Path, colours: Path, tmp_path: Path) -> None:
    init_model(tmp_path / "other", "minigpt4-vicuna", "tiny", seed=1)
    short = dataclasses.replace(STAGE, epochs=1, steps_per_epoch=1)
    trainer(tiny_folder, colours, tmp_path / "run", short, fresh=False).run()
    other = trainer(tmp_path / "other", colours, tmp_path / "run", short, fresh=False)
    with pytest.raises(AlignmentError, match=r"vision encoder was \w+ and is .*language model was"):
        other.run()
    # The same model elsewhere is the same model.
    shutil.copytree(tiny_folder, tmp_path / "moved")
    trainer(tmp_path / "moved", colours, tmp_path / "run", short, fresh=False).run()


def test_other_data_ratios_or_another_start_do_not_resume(
    tiny_folder: Path, colours: Path, spotted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    short = dataclasses.replace(STAGE, epochs=1, steps_per_epoch=1)
    trainer(tiny_folder, colours, out, short).run()
    with pytest.raises(AlignmentError, match=r"data was .*colours.* and is .*spotted"):
        trainer(tiny_folder, spotted, out, short).run()
    with pytest.raises(AlignmentError, match=r"ratios was 1 and is 115"):
        trainer(tiny_folder, colours, out, short, ratio=115.0).run()
    with pytest.raises(AlignmentError, match=r"start was a new .* and is the folder's projection"):
        trainer(tiny_folder, colours, out, short, fresh=False).run()
    started = AlignmentModel.load(ModelFolder.open(tiny_folder))
    started.load_projection(out / "projection.safetensors")
    run = Trainer(started, short, [open_source(str(colours))], [1.0], RunSettings(out), ALONE)
    with pytest.raises(AlignmentError, match="is a projection of another run"):
        run.run()


def test_no_room_for_the_model_folder_leaves_the_checkpoint(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    short = dataclasses.replace(STAGE, epochs=1, steps_per_epoch=1)
    trainer(tiny_folder, colours, tmp_path / "run", short).run()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(AlignmentError, match=r"model cannot be written: .* intact: run again"):
            trainer(tiny_folder, colours, tmp_path / "run", short).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # What is there is no model folder any more, and does not pass for one.
    assert not (tmp_path / "run" / "model" / "model_index.json").exists()
    validate(ModelFolder.open(trainer(tiny_folder, colours, tmp_path / "run", short).run()))


def test_an_unusable_set_is_one_line_from_a_worker_too(tiny_folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "list.jsonl"
    index.write_text('{"image": "none.jpg", "caption": "gone"}\n')
    with pytest.raises(DatasetError) as error:
        trainer(tiny_folder, index, tmp_path / "run", workers=1).run()
    assert str(error.value) == f"{index}: not one of its images can be read."


def test_a_killed_worker_is_one_line_and_the_run_goes_on_from_its_checkpoint(
    tiny_folder: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(tiny_folder, colours, tmp_path / "run", workers=1, checkpoint_steps=1)
    step = Trainer._step
    # Another test's loader, not collected yet, may still have its own.
    others = set(multiprocessing.active_children())

    def killing(self: Trainer, batch: Batch, rate: float, draw: int) -> float:
        if draw == 3:
            (worker,) = set(multiprocessing.active_children()) - others
            worker.kill()
        return step(self, batch, rate, draw)

    monkeypatch.setattr(Trainer, "_step", killing)
    with pytest.raises(AlignmentError, match=r"was killed.* run again"):
        run.run()
    monkeypatch.setattr(Trainer, "_step", step)
    again = trainer(tiny_folder, colours, tmp_path / "run", workers=1, checkpoint_steps=1)
    again.run()
    assert [line.step for line in again.history] == list(range(1, STAGE.steps + 1))


@pytest.mark.parametrize(("before", "now"), [(2, 0), (0, 2)])
def test_a_run_goes_on_with_another_number_of_workers(
    tiny_folder: Path,
    spotted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: int,
    now: int,
) -> None:
    half = dataclasses.replace(STAGE, epochs=1)
    whole = trainer(tiny_folder, spotted, tmp_path / "run", half, workers=before)
    whole.run()
    resumed = trainer(tiny_folder, spotted, tmp_path / "run", half, workers=now)
    assert resumed._resume() == 6
    names = f"{max(now, 1)} workers instead of {max(before, 1)} share the data out anew"
    assert names in capsys.readouterr().err
    assert resumed.described == whole.described
    # What was taken is taken, whoever took it.
    assert total(resumed.taken) == total(whole.taken)
    next(resumed._batches(6))


def total(taken: dict[int, list[int]]) -> int:
    return sum(count for counts in taken.values() for count in counts)


class _Overflowing(torch.autograd.Function):
    """The loss as it is; gradients that are none."""

    @staticmethod
    def forward(context: Any, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient * float("inf")


@pytest.mark.parametrize(
    "spoil", [lambda loss: loss * float("nan"), _Overflowing.apply], ids=["loss", "gradient"]
)
def test_what_is_said_of_a_loss_that_is_no_number_can_be_done(
    tiny_folder: Path,
    colours: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Tensor], Tensor],
) -> None:
    run = trainer(tiny_folder, colours, tmp_path / "run", checkpoint_steps=1)
    loss = Trainer._loss
    losses = []

    def spoiling(self: Trainer, pixels: Tensor, samples: list[TokenizedSample]) -> Tensor:
        losses.append(loss(self, pixels, samples))
        return losses[-1] if len(losses) < 4 else spoil(losses[-1])

    monkeypatch.setattr(Trainer, "_loss", spoiling)
    with pytest.raises(AlignmentError, match=r"not a number.* lower --learning-rate than") as error:
        run.run()
    monkeypatch.setattr(Trainer, "_loss", loss)
    assert resumed_at(run) == 3
    *_, advised = str(error.value).removesuffix(".").split("--projection ")
    lower = dataclasses.replace(STAGE, learning_rate=1e-3)
    again = trainer(tiny_folder, colours, tmp_path / "lower", lower)
    again.model.load_projection(Path(advised))
    again.run()


def test_a_gpu_that_is_full_is_one_line(
    tiny_folder: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Trainer, pixels: Tensor, samples: list[TokenizedSample]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nProcess 1")

    run = trainer(tiny_folder, colours, tmp_path / "run")
    monkeypatch.setattr(Trainer, "_loss", full)
    with pytest.raises(
        AlignmentError, match=r"for a batch of 4: give a smaller --batch.* --out\.$"
    ):
        run.run()


def test_biases_do_not_decay(tiny_folder: Path, colours: Path, tmp_path: Path) -> None:
    run = trainer(tiny_folder, colours, tmp_path / "run", PRESETS["stage1"], "train-qformer")
    decaying, others = run.optimiser.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    names = {id(parameter): name for name, parameter in run.model.trained.items()}
    assert {names[id(p)].rsplit(".", 1)[-1] for p in decaying["params"]} >= {"weight"}
    undecayed = {names[id(p)] for p in others["params"]}
    assert undecayed == {n for n in names.values() if n.endswith("bias") or "norm" in n.lower()}
    assert len(decaying["params"]) + len(undecayed) == len(names)


def test_a_batch_has_one_of_the_four_instructions(
    tiny_folder: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def recorded(
        tokenizer: Tokenizer, family: Family, stage: Stage, text: str, instruction: str
    ) -> TokenizedSample:
        asked[-1].append(instruction)
        return TokenizedSample([1], [], [1])

    monkeypatch.setattr(trainer_module, "tokenize_sample", recorded)
    run = trainer(tiny_folder, colours, tmp_path / "run", PRESETS["stage2"])
    for draw in range(200):
        asked.append([])
        run._tokenized(Batch(np.zeros(3, np.uint8), ["a", "b", "c"], [], 0, [3]), draw)
    assert all(len(batch) == 3 and len(set(batch)) == 1 for batch in asked)
    drawn = Counter(batch[0] for batch in asked)
    assert drawn.keys() == {
        "Describe this image in detail.",
        "Take a look at this image and describe what you notice.",
        "Please provide a detailed description of the picture.",
        "Could you describe the contents of this image for me?",
    }
    assert min(drawn.values()) > 30


def test_a_full_disk_leaves_the_last_checkpoint(
    tiny_folder: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    replace = checkpoint_module.replace_file

    def full(file: Path, content: bytes) -> None:
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


def test_bad_samples_are_counted_and_only_strict_runs_fail(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
def test_variants(
    tiny_folder: Path,
    colours: Path,
    tmp_path: Path,
    variant: Variant,
    learns: set[str],
    visual_tokens: int,
) -> None:
    short = dataclasses.replace(STAGE, epochs=1, steps_per_epoch=2)
    run = trainer(tiny_folder, colours, tmp_path / "run", short, variant)
    assert set(run.model.trained) == learns
    finished = ModelFolder.open(run.run())
    assert finished.index.visual_tokens == visual_tokens
    assert finished.index.without_qformer == (variant == "no-qformer")
    validate(finished)


def test_a_fine_tuned_qformer_learns_and_the_vit_does_not(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    before = load_vision_encoder(tiny_folder / "vision").state_dict()
    short = dataclasses.replace(STAGE, epochs=1, steps_per_epoch=2)
    finished = trainer(tiny_folder, colours, tmp_path / "run", short, "train-qformer").run()
    after = load_vision_encoder(finished / "vision").state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("qformer.") for name in changed)
    assert not any(name.startswith(("vit.", "ln_vision.")) for name in changed)


@pytest.mark.parametrize(("most_bytes", "encoded"), [(10**9, 4), (0, 48)])
def test_kept_features_change_nothing_but_the_work(
    tiny_folder: Path, colours: Path, tmp_path: Path, most_bytes: int, encoded: int
) -> None:
    plain = trainer(tiny_folder, colours, tmp_path / "plain")
    plain.run()
    keeping = trainer(tiny_folder, colours, tmp_path / "keeping")
    encode, seen = keeping.model.encoder.visual_features, []

    def counted(pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        return encode(pixels)

    keeping.model.encoder.visual_features = counted
    keeping.model.keep_features(most_bytes)
    keeping.run()
    assert sum(seen) == encoded
    for name, tensor in plain.model.state().items():
        torch.testing.assert_close(keeping.model.state()[name], tensor, rtol=0.02, atol=1e-4)
