"""Run the phases of the plan, each within its deadline."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil
import torch

from loadtests.gpu.folders import decoded_bytes, make_folder, make_peer_folder
from loadtests.gpu.levels import answer_first_requests, measure
from loadtests.gpu.plan import Budget, Load, Phase, Plan, Server
from loadtests.gpu.records import Records
from loadtests.observe import count_api_processes
from loadtests.systems import EAGER, Started, started
from service.errors import ServiceError

CAPTURE_SIZES = ("1", "8", "16", "32", "48", "64", "96", "128", "192", "256")
GPU_FLAGS = (
    # Leave memory for our encoder, as deploy/ does. vLLM's own encoder is a part of its engine.
    *("--gpu-memory-utilization", "0.85"),
    # To compile takes minutes at the first start.
    *("-cc.mode=0", "-cc.cudagraph_mode=FULL_DECODE_ONLY"),
    *("--cudagraph-capture-sizes", *CAPTURE_SIZES),
)
STOP_SECONDS = 10.0


@dataclass
class Session:
    """One run of the script.

    Attributes:
        out: Folder of records and logs.
        work: Folder of the models.
        flags: The user's flags for both systems.
        measured: Systems, sizes and numbers of API processes that were started.
    """

    plan: Plan
    budget: Budget
    out: Path
    work: Path
    records: Records
    pools: Sequence[ProcessPoolExecutor]
    flags: Sequence[str] = ()
    measured: set[tuple[str, str, int]] = field(default_factory=set)

    def run(self, phases: Sequence[Phase]) -> None:
        """Run the chosen phases."""
        if Phase.ENCODER in phases:
            self.run_encoder()
        servers = self.plan.only(phases).servers
        for number, server in enumerate(servers):
            self.run_server(server, servers[number + 1 :])

    def run_encoder(self) -> None:
        """Measure the encoder alone, in its own process, which frees the GPU."""
        folder, file = make_folder(self.work, self.plan.size), self.out / "encoder.json"
        timing = self.plan.timing
        words = ["-m", "loadtests.encoder_speed", str(folder.root), str(file)]
        words += ["--seconds", str(timing.encoder)]
        words += ["--batches", *map(str, self.plan.batches)]
        limit = min(timing.encoder_limit, self.budget.left)
        try:
            subprocess.run([sys.executable, *words], check=True, timeout=limit)
        except subprocess.SubprocessError as error:
            self.records.fail("encoder", str(error))
            return
        self.records.add("encoder", size=self.plan.size, **json.loads(file.read_text()))

    def run_server(self, server: Server, later: Sequence[Server]) -> None:
        """Start a server and run its loads. A failure does not stop the others."""
        if (server.system, server.size, server.processes or 0) in self.measured:
            return
        limit = self.budget.start_limit(server, later)
        if limit < 0:
            for load in server.loads:
                self._skip(server, load)
            return
        try:
            self._run_server(server, later, limit)
        except (RuntimeError, OSError, ServiceError, psutil.Error) as error:
            self.records.fail(str(server), str(error))

    def _run_server(self, server: Server, later: Sequence[Server], limit: float) -> None:
        begin = monotonic()
        with self._start(server, limit) as system:
            answer_first_requests(system, self.plan.tokens, self.plan.timing, self.pools[0])
            processes = count_api_processes(system.pid)
            self.measured.add((server.system, server.size, processes))
            seconds = round(monotonic() - begin, 1)
            self.records.add("start", server=str(server), processes=processes, seconds=seconds)
            for load in server.loads:
                if self.budget.fits(load, later):
                    self._run_load(server, load, system, processes)
                else:
                    self._skip(server, load)

    @contextmanager
    def _start(self, server: Server, limit: float) -> Iterator[Started]:
        """Write the model folder and run the server on it; all within ``limit`` seconds."""
        begin = monotonic()
        folder = make_folder(self.work, server.size)
        if server.system == "vllm":
            make_peer_folder(folder, self.work)
        name = f"{server.system}-{server.size}-{server.processes or 'default'}.log"
        words = (*flags(server, torch.cuda.is_available()), *self.flags)
        with started(
            server.system,
            folder,
            self.work,
            *words,
            log=self.out / name,
            start_seconds=limit - (monotonic() - begin),
            stop_seconds=STOP_SECONDS,
        ) as system:
            yield system

    def _run_load(self, server: Server, load: Load, system: Started, processes: int) -> None:
        figures = measure(system, load, self.plan.tokens, self.plan.timing, self.pools)
        self.records.add(
            "load",
            system=server.system,
            size=server.size,
            processes=processes,
            workload=load.workload,
            sampling=load.sampling,
            streams=load.streams,
            tokens=self.plan.tokens,
            decoded_bytes=decoded_bytes(server.size),
            **figures,
        )
        if not figures["requests_per_second"]:
            self.records.fail(f"{server}: {load}", "no answers")

    def _skip(self, server: Server, load: Load) -> None:
        what = f"{server}: {load.workload}, {load.sampling}, {load.streams} streams"
        self.records.add("skipped", what=what, left=round(self.budget.left))


def flags(server: Server, on_gpu: bool) -> list[str]:
    """Return the flags of a server: the same for both systems, but for defaults on a CPU."""
    words = ["--load-format", "dummy", *(GPU_FLAGS if on_gpu else EAGER[server.system])]
    if server.processes:
        words += ["--api-server-count", str(server.processes)]
    return words
