"""A hung part is told from a busy one."""

import asyncio

import pytest

from service.serve.heartbeat import HangLimits, Heartbeat, Pings

LIMITS = HangLimits(unhealthy=60, exit=300)


class Part:
    """A part whose silence the test sets, and the clock."""

    silence = 0.0
    now = 1000.0

    def heartbeat(self) -> Heartbeat:
        return Heartbeat("engine", lambda: self.silence, LIMITS)


@pytest.mark.parametrize(
    ("silence", "unhealthy", "dead"),
    [(0, False, False), (59, False, False), (61, True, False), (301, True, True)],
)
def test_silence_makes_unhealthy_and_then_dead(silence: float, unhealthy: bool, dead: bool) -> None:
    part = Part()
    heartbeat = part.heartbeat()
    part.silence = silence
    assert (heartbeat.is_unhealthy, heartbeat.is_dead) == (unhealthy, dead)


def test_a_part_that_is_slow_by_nature_has_more_time() -> None:
    part = Part()
    heartbeat = part.heartbeat()
    for part.silence in (0, 50, 100, 0):
        heartbeat.observe()
    part.silence = 290
    heartbeat.observe()
    assert not heartbeat.is_unhealthy
    part.silence = 310
    assert heartbeat.is_unhealthy


def test_a_pause_of_the_whole_service_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part()
    monkeypatch.setattr("service.serve.heartbeat.monotonic", lambda: part.now)
    heartbeat = part.heartbeat()
    for part.now, part.silence in ((1001, 0.5), (1401, 400.5)):
        heartbeat.observe()
    assert not heartbeat.is_unhealthy
    for second in range(61):
        part.now, part.silence = 1402 + second, 401.5 + second
        heartbeat.observe()
    assert heartbeat.is_unhealthy, "silence after the pause counts"
    for part.now, part.silence in ((1464, 0.0), (1465, 190.0)):
        heartbeat.observe()
    assert heartbeat.is_unhealthy, "the pause is not the part's longest silence"


async def test_an_unanswered_ping_is_silence() -> None:
    answered = asyncio.Event()
    answered.set()
    asked = asyncio.Event()

    async def ping() -> None:
        asked.set()
        await answered.wait()

    pings = Pings(ping)
    assert pings.silence() == 0
    running = asyncio.create_task(pings.run())
    await asked.wait()
    await asyncio.sleep(0)
    assert pings.silence() == 0
    answered.clear()
    asked.clear()
    await asked.wait()
    first = pings.silence()
    await asyncio.sleep(0.01)
    assert pings.silence() > first
    running.cancel()
