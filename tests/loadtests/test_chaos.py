"""The gateway that is shipped, in front of stand-ins for the service: restart, kill, hang."""

import os
from pathlib import Path

import pytest

from loadtests import chaos
from loadtests.chaos import Exchange, Phase, check_losses, envoy, write_report
from tests.programs import run


@pytest.fixture
def gateway() -> str:
    program = envoy()
    if program is None:
        pytest.fail("no envoy") if os.environ.get("CI") else pytest.skip("Envoy is not installed")
    assert program
    return program


def test_envoy_accepts_its_configuration(gateway: str) -> None:
    run(gateway, "--mode", "validate", "--config-path", chaos.GATEWAY)


async def test_no_stream_is_lost_but_those_on_the_killed_one(
    gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chaos, "HUNG_SECONDS", 10.0)
    phases = await chaos.run(tmp_path, 8, 1, ["tests.loadtests.stub_service"])
    assert [phase.failures for phase in phases] == [[], [], []]
    restart, kill, hang = phases
    assert set(restart.outcomes) == {"whole"}
    assert kill.outcomes["cut"] > 0, "nothing was in progress when the service was killed"
    assert hang.outcomes["whole"] > 0
    write_report(phases, tmp_path / "report")
    assert "| restart |" in (tmp_path / "report.md").read_text()


def test_a_loss_elsewhere_is_a_failure() -> None:
    phase = Phase("kill", [Exchange("a", 1, outcome="cut"), Exchange("b", 3, outcome="whole")])
    check_losses(phase, {"a"}, since=2)
    assert phase.failures == []
    phase.exchanges += [Exchange("c", 3, outcome="cut"), Exchange("d", 3, outcome="503")]
    check_losses(phase, {"a"}, since=2)
    assert phase.failures == ["1 other requests were lost", "1 requests were refused"]
