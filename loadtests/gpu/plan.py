"""The phases of the measurement, their order, and the choice of those that still fit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from time import monotonic


class Phase(IntEnum):
    """The phases, the most important first.

    A server that runs also gets its less important loads, if enough time remains for the more
    important loads of the servers after it. This saves starts, which take a minute each.
    """

    ENCODER = 0
    NEW_IMAGES = 1
    PEER_NEW_IMAGES = 2
    TEXT = 3
    SEEN_IMAGES = 4
    PHOTOGRAPHS = 5
    DEMO_SAMPLING = 6
    API_PROCESSES = 7
    LARGE_MODEL = 8

    @property
    def title(self) -> str:
        """The name on the command line."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True)
class Load:
    """One measurement of a running server: ``streams`` users of a workload."""

    phase: Phase
    workload: str
    streams: int
    sampling: str = "greedy"


@dataclass(frozen=True)
class Server:
    """One start of a system, and its loads.

    Attributes:
        processes: API processes; None for the system's default.
    """

    system: str
    size: str
    loads: tuple[Load, ...]
    processes: int | None = None

    def __str__(self) -> str:
        count = f", {self.processes} API process(es)" if self.processes else ""
        return f"{self.system}, {self.size}{count}"

    @property
    def phase(self) -> Phase:
        """The phase of the most important load."""
        return min(load.phase for load in self.loads)


@dataclass(frozen=True)
class Timing:
    """Seconds of each step.

    Attributes:
        start: An estimate of a start, with the model folder.
        start_limit: A server that is not ready by then is killed.
        warm_up: The load runs for this time before it is measured.
        level: The length of a measurement.
        tail: The load goes on for this time, in which the metrics are read.
        margin: An estimate of what a load needs besides: requests to prepare, and the last answers.
        timeout: A request that takes longer counts as failed.
        encoder: The length of each measurement of the encoder alone.
        encoder_limit: A limit for the encoder alone.
    """

    start: float = 65.0
    start_limit: float = 240.0
    warm_up: float = 3.0
    level: float = 8.0
    tail: float = 0.5
    margin: float = 5.0
    timeout: float = 30.0
    encoder: float = 1.0
    encoder_limit: float = 120.0

    @property
    def load(self) -> float:
        """An estimate of one load."""
        return self.warm_up + self.level + self.margin


@dataclass(frozen=True)
class Plan:
    """The whole measurement.

    Attributes:
        size: Size of the encoder's model.
        batches: Batch sizes of the encoder alone.
        tokens: Length of the answers.
    """

    size: str
    batches: tuple[int, ...]
    tokens: int
    servers: tuple[Server, ...]
    timing: Timing

    def only(self, phases: Iterable[Phase]) -> "Plan":
        """Return the plan without the loads of other phases."""
        wanted = set(phases)
        servers = (
            replace(server, loads=tuple(load for load in server.loads if load.phase in wanted))
            for server in self.servers
        )
        return replace(self, servers=tuple(server for server in servers if server.loads))


class Budget:
    """The rest of the time, and what fits into it."""

    def __init__(self, seconds: float, timing: Timing) -> None:
        self._end = monotonic() + seconds
        self._timing = timing

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self._end - monotonic()

    def fits(self, load: Load, later: Sequence[Server]) -> bool:
        """Whether a load fits, with the more important loads of later servers."""
        return self.left >= self._timing.load + self._reserve(load.phase, later)

    def start_limit(self, server: Server, later: Sequence[Server]) -> float:
        """Seconds that a start may take, so that a load fits after it; negative if none fits."""
        spare = self.left - self._timing.load - self._reserve(server.phase, later)
        return min(self._timing.start_limit, spare) if spare >= self._timing.start else -1.0

    def _reserve(self, phase: Phase, later: Sequence[Server]) -> float:
        """Return the seconds that loads of later servers before ``phase`` need."""
        counts = [sum(load.phase < phase for load in server.loads) for server in later]
        return sum(self._timing.start + count * self._timing.load for count in counts if count)


def _levels(phase: Phase, workload: str, *streams: int, sampling: str = "greedy") -> list[Load]:
    return [Load(phase, workload, count, sampling) for count in streams]


def _all_workloads(phase: Phase, small: int, middle: int, large: int) -> tuple[Load, ...]:
    return (
        *_levels(phase, "unique", *sorted({small, middle, large})),
        *_levels(Phase.TEXT, "text", *sorted({middle, large})),
        *_levels(Phase.SEEN_IMAGES, "seen", middle),
        *_levels(Phase.PHOTOGRAPHS, "photo", middle),
        *_levels(Phase.DEMO_SAMPLING, "unique", middle, sampling="demo"),
    )


_BUSY = (Load(Phase.API_PROCESSES, "unique", 256), Load(Phase.API_PROCESSES, "text", 256))

FULL = Plan(
    size="7b",
    batches=(1, 4, 16, 32, 64),
    tokens=64,
    servers=(
        Server("service", "7b", _all_workloads(Phase.NEW_IMAGES, 1, 64, 256)),
        Server("vllm", "7b", _all_workloads(Phase.PEER_NEW_IMAGES, 1, 64, 256)),
        # A number of processes that was the default of the first start is not measured again.
        *(Server("service", "7b", _BUSY, processes) for processes in (1, 2, 4)),
        Server("vllm", "7b", _BUSY, 4),
        Server("service", "13b", tuple(_levels(Phase.LARGE_MODEL, "unique", 1, 64))),
    ),
    timing=Timing(),
)
DRY = Plan(
    size="tiny",
    batches=(1, 2),
    tokens=8,
    servers=(
        Server("service", "tiny", _all_workloads(Phase.NEW_IMAGES, 1, 2, 2)),
        Server("vllm", "tiny", _all_workloads(Phase.PEER_NEW_IMAGES, 1, 2, 2)),
    ),
    timing=Timing(start=5.0, warm_up=0.3, level=1.0, tail=0.2, margin=1.0, encoder=0.1),
)
