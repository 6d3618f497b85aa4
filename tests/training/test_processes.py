"""Two processes as ``torchrun`` starts them: they share weights, gradients and counts."""

import argparse
import os
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from service.errors import AlignmentError
from service.training import command
from service.training.batches import Batch, Batches
from service.training.processes import joined
from service.training.samples import Part
from service.training.sources import open_source
from service.training.trainer import Trainer
from tests.training.conftest import take

WORLD, STEPS = 2, 4


def together(work: Callable[..., None], *arguments: object) -> None:
    """Run ``work(rank, *arguments)`` in two processes that find each other as torchrun's do."""
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
    with joined("cpu") as processes:
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
        processes.share([given])
        assert given.tolist() == [5.0, 5.0]
        assert processes.mean(float(rank)) == 0.5
        assert processes.gather(Counter(bad=rank)) == [Counter(bad=0), Counter(bad=1)]
        processes.barrier()


def test_what_processes_exchange() -> None:
    together(_exchange)


def _align(rank: int, given: list[str], folder: Path, dies: bool) -> None:
    if dies:
        Trainer._step = _dying(Trainer._step)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with (
        (folder / f"out{rank}").open("w") as out,
        (folder / f"err{rank}").open("w") as err,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        command.run(parser.parse_args(given))


def _dying(step: Callable[..., float]) -> Callable[..., float]:
    def die(self: Trainer, batch: Batch, rate: float, draw: int) -> float:
        if draw >= 3 * WORLD:
            raise RuntimeError("killed here")
        return step(self, batch, rate, draw)

    return die


def test_a_run_of_two_is_killed_resumes_and_counts_once(
    tiny_folder: Path, spotted: Path, tmp_path: Path
) -> None:
    given = ["--model", str(tiny_folder), "--preset", "stage1", "--data", str(spotted)]
    given += ["--batch", "2", "--epochs", "2", "--steps-per-epoch", str(STEPS // 2)]
    given += ["--workers", "0", "--device", "cpu", "--out"]
    killed = tmp_path / "killed"
    with pytest.raises(ProcessRaisedException, match="killed here"):
        together(_align, [*given, str(killed)], tmp_path, True)
    together(_align, [*given, str(killed)], tmp_path, False)
    bad = 1 + sum(_skipped(spotted, rank) for rank in range(WORLD))  # a line that is no JSON
    said = (tmp_path / "err0").read_text()
    assert "Going on from step 2" in said
    assert f"Skipped {bad} bad samples" in said
    assert (tmp_path / "out0").read_text() == f"{killed / 'model'}\n"
    assert "kipped" not in (tmp_path / "err1").read_text()
    assert (tmp_path / "out1").read_text() == ""


def _skipped(index: Path, rank: int) -> int:
    batches = Batches([open_source(str(index))], [1.0], 2, 14, part=Part(rank, WORLD))
    return sum(len(batch.skipped) for batch in take(batches, STEPS))


def _align_apart(rank: int, given: list[str], folder: Path) -> None:
    with pytest.raises(AlignmentError, match=r"process 0: step 2, process 1: step 0.* must be one"):
        _align(rank, [*given, str(folder / f"node{rank}")], folder, False)


def test_processes_that_do_not_share_their_out_are_told_so(
    tiny_folder: Path, spotted: Path, tmp_path: Path
) -> None:
    given = ["--model", str(tiny_folder), "--preset", "stage1", "--data", str(spotted)]
    given += ["--batch", "1", "--epochs", "1", "--steps-per-epoch", "2"]
    given += ["--workers", "0", "--device", "cpu", "--out"]
    together(_align, [*given, str(tmp_path / "node0")], tmp_path, False)
    together(_align_apart, given, tmp_path)
