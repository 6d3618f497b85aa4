"""Which runs resume from a checkpoint, and that a resumed run ends as an uninterrupted one."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.checkpoints.random_model import init_model
from service.errors import AlignmentError
from service.model_folder.layout import ModelFolder
from service.training import loss_history
from service.training.batches import Batch
from service.training.model import AlignmentModel
from service.training.run_settings import RunSettings
from service.training.sources import open_data_set
from service.training.trainer import Trainer
from tests.training.runs import ALONE, ONE_STEP, STAGE, make_trainer, read_saved_step


@pytest.mark.parametrize(("workers", "killed_at", "saved"), [(0, 8, 6), (2, 8, 7)])
def test_a_killed_run_resumes_and_ends_as_an_uninterrupted_one(
    tiny_folder: Path,
    flawed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    killed_at: int,
    saved: int,
) -> None:
    # A history line every fourth step, checkpoints at other steps.
    monkeypatch.setattr(loss_history, "LINES", 3)
    settings: dict[str, Any] = {"workers": workers, "checkpoint_steps": 7 if workers else 3}
    whole = make_trainer(tiny_folder, flawed, tmp_path / "whole", **settings)
    whole.run()
    killed = make_trainer(tiny_folder, flawed, tmp_path / "killed", **settings)
    compute_loss = Trainer.compute_loss

    def die(self: Trainer, batch: Batch, step: int) -> Tensor:
        if step == killed_at:
            raise KeyboardInterrupt
        return compute_loss(self, batch, step)

    monkeypatch.setattr(Trainer, "compute_loss", die)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    monkeypatch.setattr(Trainer, "compute_loss", compute_loss)
    assert read_saved_step(killed) == saved
    resumed = make_trainer(tiny_folder, flawed, tmp_path / "killed", **settings)
    resumed.run()
    lines = whole.state.history.lines
    assert [line.step for line in lines] == [4, 8, 12]
    for after, line in zip(resumed.state.history.lines, lines, strict=True):
        assert after.step == line.step
        assert after.loss == pytest.approx(line.loss, rel=1e-3)
    assert resumed.state.skipped.counts == whole.state.skipped.counts
    assert set(whole.state.skipped.counts) == {"invalid JSON", "a missing image"}
    for name, tensor in whole.model.state().items():
        torch.testing.assert_close(resumed.model.state()[name], tensor)


def test_other_settings_do_not_resume(tiny_folder: Path, colours: Path, tmp_path: Path) -> None:
    make_trainer(tiny_folder, colours, tmp_path / "run").run()
    other = dataclasses.replace(STAGE, learning_rate=5e-3)
    with pytest.raises(AlignmentError, match=r"learning_rate was 0.01 and is 0.005"):
        make_trainer(tiny_folder, colours, tmp_path / "run", other).run()


def test_another_model_does_not_resume_but_a_moved_one_does(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    init_model(tmp_path / "other", "minigpt4-vicuna", "tiny", seed=1)
    make_trainer(tiny_folder, colours, tmp_path / "run", ONE_STEP, fresh=False).run()
    other = make_trainer(tmp_path / "other", colours, tmp_path / "run", ONE_STEP, fresh=False)
    with pytest.raises(AlignmentError, match=r"vision encoder was \w+ and is .*language model was"):
        other.run()
    shutil.copytree(tiny_folder, tmp_path / "moved")
    make_trainer(tmp_path / "moved", colours, tmp_path / "run", ONE_STEP, fresh=False).run()


def test_other_data_ratios_or_start_do_not_resume(
    tiny_folder: Path, colours: Path, flawed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    make_trainer(tiny_folder, colours, out, ONE_STEP).run()
    with pytest.raises(AlignmentError, match=r"data was .*colours.* and is .*flawed"):
        make_trainer(tiny_folder, flawed, out, ONE_STEP).run()
    with pytest.raises(AlignmentError, match=r"ratios was 1 and is 115"):
        make_trainer(tiny_folder, colours, out, ONE_STEP, ratio=115.0).run()
    with pytest.raises(AlignmentError, match=r"start was a new .* and is the folder's projection"):
        make_trainer(tiny_folder, colours, out, ONE_STEP, fresh=False).run()
    started = AlignmentModel.load(ModelFolder.open(tiny_folder))
    started.load_projection(out / "projection.safetensors")
    sources = [open_data_set(str(colours))]
    trainer = Trainer(started, ONE_STEP, sources, [1.0], RunSettings(out), ALONE)
    with pytest.raises(AlignmentError, match="is a projection of another run"):
        trainer.run()


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_damaged_checkpoint_is_named(
    tiny_folder: Path, colours: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "run" / "checkpoint.pt"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(AlignmentError, match=r"checkpoint.pt is damaged, or .*another folder"):
        make_trainer(tiny_folder, colours, tmp_path / "run").run()


@pytest.mark.parametrize("state", [{"step": 1}, [1]])
def test_another_programs_checkpoint_is_named(
    tiny_folder: Path, colours: Path, tmp_path: Path, state: Any
) -> None:
    (tmp_path / "run").mkdir()
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(AlignmentError, match=r"checkpoint.pt is damaged, or .*another folder"):
        make_trainer(tiny_folder, colours, tmp_path / "run").run()


@pytest.mark.parametrize(("before", "now"), [(2, 0), (0, 2)])
def test_a_run_resumes_with_another_number_of_workers(
    tiny_folder: Path,
    flawed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: int,
    now: int,
) -> None:
    half = dataclasses.replace(STAGE, epochs=1)
    whole = make_trainer(tiny_folder, flawed, tmp_path / "run", half, workers=before)
    whole.run()
    resumed = make_trainer(tiny_folder, flawed, tmp_path / "run", half, workers=now)
    assert resumed.state.resume(resumed.sources) == 6
    message = f"{max(now, 1)} workers instead of {max(before, 1)} now divide the data"
    assert message in capsys.readouterr().err
    assert resumed.identity == whole.identity
    assert count_taken(resumed) == count_taken(whole)
    next(resumed._read_batches(6))


def count_taken(trainer: Trainer) -> int:
    """The samples that all workers took from all data sets."""
    return sum(count for counts in trainer.state.taken.values() for count in counts)
