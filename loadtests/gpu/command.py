"""The command line of ``python -m loadtests.gpu``."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import loadtests.gpu
from loadtests.client_processes import open_client_processes
from loadtests.gpu import report
from loadtests.gpu.phases import Session
from loadtests.gpu.plan import DRY, FULL, Budget, Phase
from loadtests.gpu.records import Records

MOST_CLIENTS = 8


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    titles = [phase.title for phase in Phase]
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.gpu",
        description=loadtests.gpu.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--seconds", type=float, default=840.0, help="for everything")
    parser.add_argument("--phases", nargs="+", choices=titles, default=titles)
    parser.add_argument("--dry-run", action="store_true", help="tiny weights, two streams")
    parser.add_argument("--report-only", action="store_true", help="of the records in --out")
    parser.add_argument("flags", nargs="*", help="flags for both servers, after --")
    return parser.parse_args()


def main() -> None:
    """Measure, and write the report even if the time is up; exit with the list of failures."""
    asked = parse_options()
    records = Records(asked.out)
    try:
        if not asked.report_only:
            prepare_environment()
            stop_after(asked.seconds)
            run(asked, records)
    finally:
        signal.alarm(0)
        report.write(asked.out, records)
    if records.failures:
        sys.exit("\n".join(["Failed:", *records.failures]))


def run(asked: argparse.Namespace, records: Records) -> None:
    """Run the chosen phases."""
    plan = DRY if asked.dry_run else FULL
    budget = Budget(asked.seconds, plan.timing)
    records.add("machine", device=read_device_name(), cores=os.cpu_count())
    clients = max(1, min(MOST_CLIENTS, (os.cpu_count() or 1) // 2))
    with TemporaryDirectory() as work, open_client_processes(clients) as pools:
        session = Session(plan, budget, asked.out, Path(work), records, pools, asked.flags)
        session.run([phase for phase in Phase if phase.title in asked.phases])


def prepare_environment() -> None:
    """Exit now if kernels cannot be compiled: a start would fail only after minutes."""
    compilers = any(map(shutil.which, ("cc", "gcc", "clang"))) or "CC" in os.environ
    if torch.cuda.is_available() and not compilers:
        sys.exit("Triton compiles its kernels' launchers: install a C compiler (gcc).")
    if not shutil.which("nvcc"):
        # FlashInfer compiles its sampler with nvcc when the engine starts. Triton's sampler does
        # not need nvcc.
        os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")


def read_device_name() -> str:
    """Return the GPU's name. A CUDA context of this process would take memory from the servers."""
    if not torch.cuda.is_available():
        return "CPU"
    words = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.check_output(words, text=True).splitlines()[0]


def stop_after(seconds: float) -> None:
    """End the servers and write the report when the time is up, or on SIGTERM."""

    def stop(number: int, _: object) -> None:
        sys.exit(f"Stopped by {signal.Signals(number).name}.")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(max(1, round(seconds)))
