"""Two processes as ``torchrun`` starts them: they exchange weights, gradients and counts."""

import argparse
import os
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from service.errors import AlignmentError
from service.training import command
from service.training.batches import Batch, Batches
from service.training.processes import join_processes
from service.training.samples import Part
from service.training.sources import open_data_set
from service.training.trainer import Trainer
from tests.training.conftest import take

WORLD, STEPS = 2, 4


def run_in_two_processes(work: Callable[..., None], *arguments: object) -> None:
    """Run ``work(rank, *arguments)`` in two processes that find each other like torchrun's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_enter, (port, work, arguments), nprocs=WORLD)


def _enter(rank: int, port: int, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(WORLD)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    work(rank, *arguments)


def _exchange(rank: int) -> None:
    with join_processes("cpu") as processes:
        assert (processes.rank, processes.world, processes.is_first) == (rank, WORLD, rank == 0)
        given, absent = nn.Parameter(torch.full((2,), 5.0 + rank)), nn.Parameter(torch.zeros(2))
        given.grad = torch.full((2,), 1.0 + 2 * rank)
        if rank == 1:
            absent.grad = torch.ones(2)
        processes.average_gradients([given, absent])
        assert given.grad is not None
        assert given.grad.tolist() == [2.0, 2.0]
        assert absent.grad is not None
        assert absent.grad.tolist() == [0.5, 0.5]
        processes.broadcast([given])
        assert given.tolist() == [5.0, 5.0]
        assert processes.mean(float(rank)) == 0.5
        assert processes.gather(Counter(bad=rank)) == [Counter(bad=0), Counter(bad=1)]
        processes.barrier()


def test_processes_average_broadcast_and_gather() -> None:
    run_in_two_processes(_exchange)


def _align(rank: int, given: list[str], folder: Path, dies: bool) -> None:
    if dies:
        Trainer.compute_loss = _dying(Trainer.compute_loss)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with (
        (folder / f"out{rank}").open("w") as out,
        (folder / f"err{rank}").open("w") as err,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        command.run(parser.parse_args(given))


def _dying(compute_loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def die(self: Trainer, batch: Batch, step: int) -> Tensor:
        if step >= 3:
            raise RuntimeError("killed here")
        return compute_loss(self, batch, step)

    return die


def test_a_killed_run_of_two_processes_resumes_and_counts_bad_samples_once(
    tiny_folder: Path, flawed: Path, tmp_path: Path
) -> None:
    given = ["--model", str(tiny_folder), "--preset", "stage1", "--data", str(flawed)]
    given += ["--batch", "2", "--epochs", "2", "--steps-per-epoch", str(STEPS // 2)]
    given += ["--workers", "0", "--device", "cpu", "--out"]
    killed = tmp_path / "killed"
    with pytest.raises(ProcessRaisedException, match="killed here"):
        run_in_two_processes(_align, [*given, str(killed)], tmp_path, True)
    run_in_two_processes(_align, [*given, str(killed)], tmp_path, False)
    bad = 1 + sum(
        _count_skipped(flawed, rank) for rank in range(WORLD)
    )  # plus a line that is not JSON
    printed = (tmp_path / "err0").read_text()
    assert "Resuming from step 2" in printed
    assert f"Skipped {bad} bad samples" in printed
    assert (tmp_path / "out0").read_text() == f"{killed / 'model'}\n"
    assert "kipped" not in (tmp_path / "err1").read_text()
    assert (tmp_path / "out1").read_text() == ""


def _count_skipped(index: Path, rank: int) -> int:
    batches = Batches([open_data_set(str(index))], [1.0], 2, 14, part=Part(rank, WORLD))
    return sum(len(batch.skipped) for batch in take(batches, STEPS))


def _align_in_own_folder(rank: int, given: list[str], folder: Path) -> None:
    with pytest.raises(AlignmentError, match=r"process 0: step 2, process 1: step 0.* must be one"):
        _align(rank, [*given, str(folder / f"node{rank}")], folder, False)


def test_processes_with_different_out_folders_are_refused(
    tiny_folder: Path, flawed: Path, tmp_path: Path
) -> None:
    given = ["--model", str(tiny_folder), "--preset", "stage1", "--data", str(flawed)]
    given += ["--batch", "1", "--epochs", "1", "--steps-per-epoch", "2"]
    given += ["--workers", "0", "--device", "cpu", "--out"]
    run_in_two_processes(_align, [*given, str(tmp_path / "node0")], tmp_path, False)
    run_in_two_processes(_align_in_own_folder, given, tmp_path)
