"""Batches from creation to their output files, with a stand-in for the application."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.batches import one_batch, runner
from service.batches.input_lines import InputLine
from service.batches.limits import BatchLimits
from service.batches.record import FINISHED, Batch, StoredBatch
from service.batches.result import LineResponse
from service.batches.runner import BatchRunner, choose
from service.batches.slots import LineSlots
from service.batches.store import BatchStore
from tests.batches.conftest import Create, OpenJournal, json_lines, line

OK = LineResponse(200, "request", b'{"usage": {"prompt_tokens": 1, "completion_tokens": 1}}')


class Application:
    """Answers lines; ``answer`` may be replaced, and ``hold`` keeps answers back."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.answer: Callable[[InputLine], LineResponse] = lambda _: OK
        self.go = asyncio.Event()
        self.go.set()

    async def send(self, _: StoredBatch, given: InputLine) -> LineResponse:
        self.sent.append(given.custom_id)
        await self.go.wait()
        await asyncio.sleep(0)
        return self.answer(given)


class Load:
    busy = False
    may_start = True


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SCAN_SECONDS", 0.02)


@pytest.fixture
def application() -> Application:
    return Application()


@asynccontextmanager
async def running(
    store: BatchStore, application: Application, load: type[Load] = Load
) -> AsyncIterator[BatchRunner]:
    slots = LineSlots(store.limits, lambda: load.busy, lambda: load.may_start)
    made = BatchRunner(store, slots, application.send)
    async with made.running():
        yield made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the runner has no event for it
            await asyncio.sleep(0.005)


async def finish(store: BatchStore, batch: Batch, owner: str = "alice") -> Batch:
    await until(lambda: store.get(owner, batch.id).status in FINISHED)
    return store.get(owner, batch.id)


def results(store: BatchStore, file_id: str | None, owner: str = "alice") -> dict[str, Any]:
    assert file_id is not None
    lines = store.files.read(owner, file_id).splitlines()
    found = {each["custom_id"]: each for each in map(json.loads, lines)}
    assert len(found) == len(lines), "a line stands twice"
    return found


async def test_a_batch_runs_to_its_output_file(
    store: BatchStore, create: Create, application: Application
) -> None:
    batch = create(5, metadata={"purpose": "test"})
    assert batch.status == "validating"
    async with running(store, application):
        done = await finish(store, batch)
    assert done.status == "completed"
    assert done.request_counts.model_dump() == {"total": 5, "completed": 5, "failed": 0}
    assert (done.usage.input_tokens, done.usage.total_tokens) == (5, 10)
    assert done.error_file_id is None
    assert done.metadata == {"purpose": "test"}
    assert all((done.in_progress_at, done.finalizing_at, done.completed_at))
    output = results(store, done.output_file_id)
    assert sorted(output) == ["0", "1", "2", "3", "4"]
    assert output["3"]["response"]["status_code"] == 200
    assert output["3"]["error"] is None
    record = store.files.record("alice", done.output_file_id or "")
    assert (record.purpose, record.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert [path.name for path in (store.root.glob(f"*/{batch.id}/*"))] == ["batch.json"]


async def test_refused_lines_stand_in_the_error_file(
    store: BatchStore, create: Create, application: Application
) -> None:
    application.answer = lambda given: (
        LineResponse(400, "r", b'{"error": {"message": "Bad."}}') if given.custom_id == "1" else OK
    )
    async with running(store, application):
        done = await finish(store, create(3))
    assert done.status == "completed"
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 1)
    error = results(store, done.error_file_id)["1"]
    assert error["response"]["status_code"] == 400
    assert error["response"]["body"]["error"]["message"] == "Bad."
    assert "1" not in results(store, done.output_file_id)


async def test_a_file_with_a_bad_line_fails_before_any_line_runs(
    store: BatchStore, create: Create, application: Application
) -> None:
    async with running(store, application):
        done = await finish(store, create(json_lines(line("a")) + b"{\n"))
    assert done.status == "failed"
    assert done.failed_at
    assert done.errors is not None
    assert (done.errors.data[0].line, done.errors.data[0].code) == (2, "invalid_json_line")
    assert application.sent == []


async def test_a_cancelled_batch_keeps_what_was_finished(
    store: BatchStore, create: Create, application: Application
) -> None:
    batch = create(20)
    application.answer = lambda _: OK
    async with running(store, application):
        await until(lambda: len(application.sent) >= 4)
        application.go.clear()
        await asyncio.sleep(0.05)
        shown = store.cancel("alice", batch.id)
        assert (shown.status, bool(shown.cancelling_at)) == ("cancelling", True)
        await asyncio.sleep(0.1)
        application.go.set()
        done = await finish(store, batch)
    assert done.status == "cancelled"
    assert done.cancelled_at
    if done.request_counts.completed:
        assert len(results(store, done.output_file_id)) == done.request_counts.completed


async def test_a_batch_that_is_cancelled_before_it_starts(
    store: BatchStore, create: Create, application: Application
) -> None:
    batch = create(3)
    store.cancel("alice", batch.id)
    async with running(store, application):
        done = await finish(store, batch)
    assert done.status == "cancelled"
    assert application.sent == []
    assert done.output_file_id is None


async def test_an_expired_batch_names_the_lines_that_did_not_run(
    store: BatchStore,
    create: Create,
    application: Application,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = create(10)
    clock = time.time()
    async with running(store, application):
        application.go.clear()
        await until(lambda: len(application.sent) == 4)
        monkeypatch.setattr(time, "time", lambda: clock + 4000)
        application.go.set()
        done = await finish(store, batch)
    assert done.status == "expired"
    assert done.expired_at
    assert (done.request_counts.completed, done.request_counts.failed) == (4, 6)
    errors = results(store, done.error_file_id)
    assert {each["error"]["code"] for each in errors.values()} == {"batch_expired"}
    assert all(each["response"] is None for each in errors.values())
    assert len(results(store, done.output_file_id)) == 4


async def test_a_line_is_sent_again_when_the_service_cannot_take_it(
    store: BatchStore, create: Create, application: Application
) -> None:
    refusals = iter([LineResponse(503, "r", b"{}", retry_after=0.01)] * 3)
    application.answer = lambda _: next(refusals, OK)
    async with running(store, application):
        done = await finish(store, create(2))
    assert done.request_counts.completed == 2
    assert len(application.sent) == 5


async def test_a_stop_puts_lines_back_and_the_next_start_repeats_no_finished_one(
    open_journal: OpenJournal, store: BatchStore, create: Create, application: Application
) -> None:
    batch = create(12)
    async with running(store, application):
        await until(lambda: len(application.sent) >= 4)
        application.go.clear()
        await asyncio.sleep(0.05)
        # The drain cuts the lines that run.
        application.answer = lambda _: LineResponse(503, "r", b"{}", retry_after=60)
        asyncio.get_running_loop().call_later(0.1, application.go.set)
    first = open_journal(store.folder_of(store.load("alice", batch.id)))
    assert dict(first.interrupted) == {}
    finished = set(first.done)
    later = Application()
    async with running(store, later):
        done = await finish(store, batch)
    assert done.request_counts.completed == 12
    assert finished.isdisjoint(later.sent)
    assert len(results(store, done.output_file_id)) == 12


async def test_a_batch_that_ends_during_a_scan_does_not_stop_the_runner(
    store: BatchStore, create: Create, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = one_batch.BatchRun.save_progress
    application.go.clear()
    batches = [create(1), create(1)]

    async def save_slowly(run: one_batch.BatchRun) -> None:
        """Let both batches end while the scan looks at the first of them."""
        await save(run)
        if len(application.sent) == 2:
            application.go.set()
            await until(lambda: not made._runs)

    monkeypatch.setattr(one_batch.BatchRun, "save_progress", save_slowly)
    async with running(store, application) as made:
        for batch in batches:
            await finish(store, batch)
        assert (await finish(store, create(1))).status == "completed"


async def test_a_scan_that_fails_is_repeated(
    store: BatchStore,
    create: Create,
    application: Application,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scans = []
    list_unfinished = store.list_unfinished

    def fail_once() -> Any:
        scans.append(1)
        if len(scans) == 1:
            raise RuntimeError("a bug")
        return list_unfinished()

    monkeypatch.setattr(store, "list_unfinished", fail_once)
    batch = create(1)
    async with running(store, application):
        assert (await finish(store, batch)).status == "completed"
    assert "a scan failed" in caplog.text


async def test_a_line_that_ends_the_service_again_and_again_fails(
    open_journal: OpenJournal, store: BatchStore, create: Create, application: Application
) -> None:
    batch = create(2)
    folder = store.folder_of(store.load("alice", batch.id))
    for _ in range(one_batch.MAX_INTERRUPTIONS):
        open_journal(folder).note_start("0")
    async with running(store, application):
        done = await finish(store, batch)
    assert application.sent == ["1"]
    assert results(store, done.error_file_id)["0"]["error"]["code"] == "request_interrupted"


async def test_an_engine_that_fails_under_a_line_counts_as_an_interruption(
    open_journal: OpenJournal, store: BatchStore, create: Create, application: Application
) -> None:
    batch = create(1)
    application.answer = lambda _: LineResponse(500, "r", b"{}", 60, interrupted=True)
    async with running(store, application):
        await until(lambda: bool(application.sent))
        await asyncio.sleep(0.05)
    folder = store.folder_of(store.load("alice", batch.id))
    assert dict(open_journal(folder).interrupted) == {"0": 1}


async def test_finished_results_are_exported_once_after_a_kill_in_between(
    store: BatchStore, create: Create, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = create(3)

    def killed(*_: Any) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(store, "drop_working_files", killed)
        patch.setattr(store.files, "add_output", killed)
        async with running(store, application):
            await until(lambda: store.get("alice", batch.id).status == "finalizing")
            await asyncio.sleep(0.05)
    async with running(store, application):
        done = await finish(store, batch)
    assert done.status == "completed"
    assert len(results(store, done.output_file_id)) == 3
    assert len(application.sent) == 3
    outputs = [each for each in store.files.records("alice") if each.purpose == "batch_output"]
    assert [each.id for each in outputs] == [done.output_file_id]


async def test_fewer_lines_run_while_the_service_is_busy(
    store: BatchStore, create: Create, application: Application
) -> None:
    class Busy(Load):
        busy = True

    create(8)
    application.go.clear()
    async with running(store, application, Busy):
        await until(lambda: len(application.sent) == 1)
        await asyncio.sleep(0.1)
        assert len(application.sent) == 1
        Busy.busy = False
        await until(lambda: len(application.sent) == 4)
        await asyncio.sleep(0.1)
        assert len(application.sent) == 4
        Busy.may_start = False
        application.go.set()
        await asyncio.sleep(0.1)
        assert len(application.sent) == 4, "a line started during the drain"


async def test_one_of_two_runners_of_a_store_runs_the_batches(
    store: BatchStore, create: Create, application: Application
) -> None:
    other = Application()
    first = running(store, application)
    await first.__aenter__()
    await finish(store, create(1))  # the first has the lock
    async with running(store, other):
        await finish(store, create(5))
        assert other.sent == []
        await first.__aexit__(None, None, None)
        await finish(store, create(5))
        assert len(other.sent) == 5


async def test_results_beyond_the_limit_fail_the_rest(
    store: BatchStore, create: Create, application: Application
) -> None:
    store.limits = BatchLimits(running=1, output_bytes=200)
    async with running(store, application):
        done = await finish(store, create(6))
    assert done.status == "completed"
    assert done.request_counts.completed < 6
    errors = results(store, done.error_file_id)
    assert {each["error"]["code"] for each in errors.values()} == {"output_too_large"}


def test_owners_take_turns() -> None:
    def stored(owner: str, at: int) -> StoredBatch:
        batch = Batch(
            id=f"{owner}{at}",
            endpoint="/v1/completions",
            input_file_id="",
            completion_window="24h",
            created_at=at,
            expires_at=at,
        )
        return StoredBatch(batch=batch, owner=owner)

    unfinished = [stored("a", at) for at in range(10)] + [stored("b", 50), stored("c", 60)]
    chosen = [each.batch.id for each in choose(unfinished, {"a0"}, 5)]
    assert chosen == ["b50", "c60", "a1", "a2"]
