"""The ledger of several processes: sums, limits, restarts."""

import multiprocessing
from pathlib import Path
from signal import SIGKILL

import pytest

from service.errors import SettingsError
from service.usage import mapped_ledger
from service.usage.amounts import NO_LIMITS, KeyLimits, Usage
from service.usage.mapped_ledger import MappedLedger, attach, create

SPAWN = multiprocessing.get_context("spawn")
ADDED = 2000


def add_many(path: Path) -> None:
    ledger = attach(path)
    for number in range(ADDED):
        ledger.add("alice" if number % 2 else "bob", Usage(requests=1, input_tokens=3))


def admit_many(path: Path, limits: KeyLimits, admitted: "multiprocessing.Queue[int]") -> None:
    ledger = attach(path)
    admitted.put(sum(ledger.admit("alice", limits).refused_by is None for _ in range(100)))


def hold_one(path: Path, held: "multiprocessing.Queue[bool]") -> None:
    attach(path).admit("alice", KeyLimits(concurrent_requests=1))
    held.put(True)
    held.close()
    held.join_thread()
    SPAWN.Event().wait()


def test_sums_are_those_of_all_processes() -> None:
    ledger = create()
    processes = [SPAWN.Process(target=add_many, args=[ledger.shared_path]) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for key in ("alice", "bob"):
        assert ledger.read(key) == Usage(requests=ADDED, input_tokens=3 * ADDED)


@pytest.mark.parametrize(
    "limits", [KeyLimits(requests_per_minute=50), KeyLimits(concurrent_requests=50)]
)
def test_a_limit_is_that_of_all_processes_together(limits: KeyLimits) -> None:
    ledger = create()
    admitted: multiprocessing.Queue[int] = SPAWN.Queue()
    arguments = [ledger.shared_path, limits, admitted]
    processes = [SPAWN.Process(target=admit_many, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    total = sum(admitted.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    # The meter may drain by a few requests while the processes run.
    assert 50 <= total <= 60


def test_a_killed_process_holds_no_lock() -> None:
    ledger = create()
    held: multiprocessing.Queue[bool] = SPAWN.Queue()
    process = SPAWN.Process(target=hold_one, args=[ledger.shared_path, held])
    process.start()
    assert held.get(timeout=60)
    process.kill()
    process.join()
    assert process.exitcode == -SIGKILL
    ledger.add("alice", Usage(requests=1))
    refused = ledger.admit("alice", KeyLimits(concurrent_requests=1))
    assert refused.refused_by == "concurrent_requests"


def test_tokens_are_charged_after_the_request_was_admitted() -> None:
    ledger, limits = create(), KeyLimits(tokens_per_minute=100)
    first = ledger.admit("alice", limits)
    assert first.tokens is not None
    assert first.tokens.remaining == 100
    ledger.add("alice", Usage(input_tokens=60, output_tokens=190))
    refused = ledger.admit("alice", limits)
    assert refused.refused_by == "tokens_per_minute"
    assert refused.retry_seconds == pytest.approx((250 - 99) * 0.6, abs=1)
    assert refused.tokens is not None
    assert refused.tokens.remaining == 0
    assert ledger.admit("bob", limits).refused_by is None


def test_a_refused_request_is_not_counted() -> None:
    ledger, limits = create(), KeyLimits(requests_per_minute=2, concurrent_requests=9)
    assert [ledger.admit("alice", limits).refused_by is None for _ in range(4)] == [
        *(True, True),
        *(False, False),
    ]
    assert ledger.peek("alice", limits).retry_seconds == pytest.approx(30, abs=1)


def test_limits_that_change_count_at_once() -> None:
    ledger = create()
    ledger.admit("alice", NO_LIMITS)
    ledger.add("alice", Usage(input_tokens=10**6))
    limited = KeyLimits(tokens_per_minute=10)
    assert ledger.admit("alice", limited).refused_by is None, "use before the limit is forgiven"
    ledger.add("alice", Usage(input_tokens=20))
    assert ledger.admit("alice", limited).refused_by == "tokens_per_minute"
    assert ledger.admit("alice", KeyLimits(tokens_per_minute=1000)).refused_by is None


def test_requests_that_end_make_room() -> None:
    ledger, limits = create(), KeyLimits(concurrent_requests=1)
    assert ledger.admit("alice", limits).refused_by is None
    assert ledger.admit("alice", limits).refused_by == "concurrent_requests"
    ledger.leave("alice")
    assert ledger.admit("alice", limits).refused_by is None


def test_a_file_keeps_the_sums_and_forgets_the_requests(tmp_path: Path) -> None:
    file, limits = tmp_path / "new" / "usage", KeyLimits(concurrent_requests=1)
    before = create(file)
    before.add("alice", Usage(images=2, encoder_seconds=0.5))
    before.admit("alice", limits)
    after = create(file)
    assert after.read("alice") == Usage(images=2, encoder_seconds=0.5)
    assert after.since == before.since
    assert after.admit("alice", limits).refused_by is None
    assert file.stat().st_mode & 0o077 == 0


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("something else")
    for open_ledger in (create, attach):
        with pytest.raises(SettingsError, match="notes"):
            open_ledger(file)
    with pytest.raises(SettingsError, match="usage file"):
        create(tmp_path)
    with pytest.raises(SettingsError, match="usage file"):
        attach(tmp_path / "absent")
    assert file.read_text() == "something else"


def test_names_beyond_the_bounds_share_a_label_and_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_ledger, "ROWS", 4)
    monkeypatch.setattr(mapped_ledger, "LABELS", 2)
    ledger: MappedLedger = create()
    assert [ledger.label(name) for name in "abcdef"] == ["a", "b", *["other"] * 4]
    limits = KeyLimits(requests_per_minute=1)
    assert ledger.admit("d", limits).refused_by is None
    assert ledger.admit("f", limits).refused_by == "requests_per_minute"
    assert ledger.admit("c", limits).refused_by is None
