"""The measurement of what a batch costs runs through all its phases."""

import pytest

from loadtests.batches import PHASES, measure
from tests.server import ServerProcess


@pytest.mark.slow
async def test_all_phases_answer_and_finish_lines(server: ServerProcess) -> None:
    phases = await measure(server.url, rate=2.0, seconds=2.0, rounds=1)
    assert [phase.name for phase in phases] == list(PHASES)
    assert all(phase.samples and all(sample.ok for sample in phase.samples) for phase in phases)
    assert [phase.lines > 0 for phase in phases] == [False, True, True]
    assert all(phase.row().startswith(f"| {phase.name} |") for phase in phases)
