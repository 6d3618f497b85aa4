"""Each failure in the middle of a run is one line that says how to go on, and the advice works."""

import dataclasses
import errno
import multiprocessing
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.errors import AlignmentError, DatasetError
from service.model_folder.layout import ModelFolder
from service.model_folder.validation import validate
from service.training import state_file
from service.training.batches import Batch
from service.training.trainer import Trainer
from tests.training.conftest import picture
from tests.training.runs import ONE_STEP, STAGE, make_trainer, read_saved_step


def test_a_full_disk_leaves_the_earlier_checkpoint(
    tiny_folder: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    replace = state_file.replace_file

    def fail(file: Path, content: bytes) -> None:
        if (out / "checkpoint.pt").exists() and file.name == "checkpoint.pt":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(file, content)

    monkeypatch.setattr(state_file, "replace_file", fail)
    with pytest.raises(AlignmentError, match=r"step 6 .* No space left .* intact"):
        make_trainer(tiny_folder, colours, out).run()
    monkeypatch.setattr(state_file, "replace_file", replace)
    resumed = make_trainer(tiny_folder, colours, out)
    assert resumed.state.resume(resumed.sources) == 3
    assert [path.name for path in out.iterdir() if path.suffix == ".tmp"] == []


def test_a_full_disk_leaves_the_checkpoint_when_the_model_folder_is_written(
    tiny_folder: Path, colours: Path, tmp_path: Path
) -> None:
    make_trainer(tiny_folder, colours, tmp_path / "run", ONE_STEP).run()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(AlignmentError, match=r"model cannot be written: .* intact: run again"):
            make_trainer(tiny_folder, colours, tmp_path / "run", ONE_STEP).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # Without an index, the half-written folder cannot be mistaken for a model folder.
    assert not (tmp_path / "run" / "model" / "model_index.json").exists()
    finished = make_trainer(tiny_folder, colours, tmp_path / "run", ONE_STEP).run()
    validate(ModelFolder.open(finished))


def test_an_unusable_data_set_is_one_line_from_a_worker_too(
    tiny_folder: Path, tmp_path: Path
) -> None:
    index = tmp_path / "list.jsonl"
    index.write_text('{"image": "none.jpg", "caption": "gone"}\n')
    with pytest.raises(DatasetError) as error:
        make_trainer(tiny_folder, index, tmp_path / "run", workers=1).run()
    assert str(error.value) == f"{index}: none of its images can be read."


def test_a_killed_worker_is_one_line_and_the_run_can_resume(
    tiny_folder: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tiny_folder, colours, tmp_path / "run", workers=1, checkpoint_steps=1)
    compute_loss = Trainer.compute_loss
    # The loader of an earlier test may not be collected yet and still have its worker.
    others = set(multiprocessing.active_children())

    def kill(self: Trainer, batch: Batch, step: int) -> Tensor:
        if step == 3:
            (worker,) = set(multiprocessing.active_children()) - others
            worker.kill()
        return compute_loss(self, batch, step)

    monkeypatch.setattr(Trainer, "compute_loss", kill)
    with pytest.raises(AlignmentError, match=r"was killed.* run again"):
        trainer.run()
    monkeypatch.setattr(Trainer, "compute_loss", compute_loss)
    again = make_trainer(tiny_folder, colours, tmp_path / "run", workers=1, checkpoint_steps=1)
    again.run()
    assert [line.step for line in again.state.history.lines] == list(range(1, STAGE.steps + 1))


class _InfiniteGradient(torch.autograd.Function):
    """The same loss, with infinite gradients."""

    @staticmethod
    def forward(context: Any, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient * float("inf")


@pytest.mark.parametrize(
    "spoil",
    [lambda loss: loss * float("nan"), _InfiniteGradient.apply],
    ids=["loss", "gradient"],
)
def test_the_advice_after_a_nan_loss_or_an_infinite_gradient_works(
    tiny_folder: Path,
    colours: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Tensor], Tensor],
) -> None:
    trainer = make_trainer(tiny_folder, colours, tmp_path / "run", checkpoint_steps=1)
    compute_loss = Trainer.compute_loss

    def spoil_fourth(self: Trainer, batch: Batch, step: int) -> Tensor:
        loss = compute_loss(self, batch, step)
        return loss if step < 3 else spoil(loss)

    monkeypatch.setattr(Trainer, "compute_loss", spoil_fourth)
    with pytest.raises(AlignmentError, match=r"not a number.* lower --learning-rate than") as error:
        trainer.run()
    monkeypatch.setattr(Trainer, "compute_loss", compute_loss)
    assert read_saved_step(trainer) == 3
    *_, advised = str(error.value).removesuffix(".").split("--projection ")
    lower = dataclasses.replace(STAGE, learning_rate=1e-3)
    again = make_trainer(tiny_folder, colours, tmp_path / "lower", lower)
    again.model.load_projection(Path(advised))
    again.run()


def test_a_full_gpu_is_one_line(
    tiny_folder: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Trainer, batch: Batch, step: int) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nProcess 1")

    trainer = make_trainer(tiny_folder, colours, tmp_path / "run")
    monkeypatch.setattr(Trainer, "compute_loss", fail)
    with pytest.raises(
        AlignmentError, match=r"for a batch of 4: give a smaller --batch.* --out\.$"
    ):
        trainer.run()


def test_bad_samples_are_counted_and_end_only_a_strict_run(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.jpg").write_bytes(picture("red"))
    (tmp_path / "bad.jpg").write_bytes(b"no image at all")
    index = tmp_path / "list.jsonl"
    index.write_text(
        '{"image": "good.jpg", "caption": "a red square"}\nnonsense\n'
        '{"image": "bad.jpg", "caption": "x"}\n'
    )
    trainer = make_trainer(tiny_folder, index, tmp_path / "run")
    trainer.run()
    counts = trainer.state.skipped.counts
    assert set(counts) == {"invalid JSON", "an unusable image"}
    assert counts["invalid JSON"] == 1
    printed = capsys.readouterr().err
    assert f"{index}:2" in printed
    assert f"{index}:3" in printed
    assert f"Skipped {counts.total()} bad samples (an unusable image: " in printed
    # A resumed run continues the count.
    again = make_trainer(tiny_folder, index, tmp_path / "run")
    again.run()
    assert again.state.skipped.counts == counts
    with pytest.raises(DatasetError, match=r"list.jsonl:\d"):
        make_trainer(tiny_folder, index, tmp_path / "strict", strict=True).run()
