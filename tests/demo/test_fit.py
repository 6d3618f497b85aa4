"""Fitting resumes as if it had not stopped, and a full disk leaves the earlier checkpoint."""

import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from service.demo.fit import Schedule, _Fitting, fit
from service.errors import AlignmentError


class Numbers(torch.utils.data.Dataset[torch.Tensor]):
    """Random numbers; sample ``i`` is made from seed ``i``."""

    def __len__(self) -> int:
        return 10_000

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.randn(4, generator=torch.Generator().manual_seed(index))


def fit_numbers(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Fit a linear layer in 12 steps, with a checkpoint every 5 steps."""
    torch.manual_seed(0)
    module = nn.Linear(4, 1)

    def loss(batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        return (module(batch).float() - batch.sum(1, keepdim=True)).pow(2).mean(), {}

    schedule = Schedule(steps=12, batch=4, learning_rate=0.1, warmup=2, save_every=5)
    fit(module, Numbers(), torch.stack, loss, schedule, checkpoint, workers=0)
    return module.state_dict()


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint of a run that was killed after step 5."""
    file = tmp_path / "killed.pt"
    finish_step = _Fitting.finish_step

    def die(self: _Fitting, done: int, loss: float, rate: float) -> None:
        finish_step(self, done, loss, rate)
        if done == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_Fitting, "finish_step", die)
        with pytest.raises(KeyboardInterrupt):
            fit_numbers(file)
    return file


def test_a_killed_run_resumes_and_ends_as_an_uninterrupted_one(
    tmp_path: Path, killed: Path
) -> None:
    whole, resumed = fit_numbers(tmp_path / "whole.pt"), fit_numbers(killed)
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor)


def test_a_full_disk_leaves_the_earlier_checkpoint(killed: Path) -> None:
    before = killed.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(
            AlignmentError, match=r"killed\.pt cannot be written at step 10: .*run again"
        ):
            fit_numbers(killed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert killed.read_bytes() == before


def test_a_damaged_checkpoint_is_named(killed: Path) -> None:
    killed.write_bytes(killed.read_bytes()[:100])
    with pytest.raises(AlignmentError, match=r"killed\.pt is damaged"):
        fit_numbers(killed)
