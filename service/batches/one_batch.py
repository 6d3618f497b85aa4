"""Runs one batch: checks its input, runs its lines, writes its output files.

Lives on the event loop.

Each step leaves the disk in a state from which another process can go on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial

from service.batches import metrics
from service.batches.input_lines import InputLine, check_lines, read_lines
from service.batches.journal import COMPLETED, FAILED, Journal, export
from service.batches.record import BatchErrors, Outcome, StoredBatch
from service.batches.result import LineResponse, Result, from_error, from_response
from service.batches.slots import LineSlots
from service.batches.store import INPUT, BatchStore
from service.files.record import new_file_id

Send = Callable[[StoredBatch, InputLine], Awaitable[LineResponse]]
"""Sends one line's request to the application."""

MAX_INTERRUPTIONS = 3
"""Times that a line may be running when the service fails or is killed; then the line counts as
failed."""

EXPIRED = "This request could not be executed before the completion window expired."
INTERRUPTED = f"The service ended {MAX_INTERRUPTIONS} times while it ran this request."
TOO_MUCH_OUTPUT = "The batch's results have reached their largest size; this request was not run."

LONGEST_PAUSE = 60.0
"""Seconds before a line that the service could not take is sent again, whatever the response says."""

ERRORS_AT_ONCE = 1000
"""Lines without a response whose errors are written together."""


class BatchRun:
    """One unfinished batch, in the process that runs it."""

    def __init__(
        self, stored: StoredBatch, store: BatchStore, slots: LineSlots, send: Send
    ) -> None:
        self.stored = stored
        self._store = store
        self._slots = slots
        self._send = send
        self._folder = store.folder_of(stored)
        self._journal: Journal | None = None
        self._closing = asyncio.Event()
        self._room = asyncio.Semaphore(store.limits.running)
        self._saving = asyncio.Lock()
        self._cancelled_at: int | None = None
        self._saved_lines = 0
        self.running = 0

    @property
    def waiting(self) -> int:
        """Lines that have not begun, as far as the number of lines is known."""
        counts = self.stored.batch.request_counts
        return max(0, counts.total - self._done - self.running)

    async def run(self) -> None:
        """Run the batch to its end, or until :meth:`close` is called."""
        await self.look_for_cancel()
        if self.stored.batch.status == "validating" and self._cancelled_at is None:
            await self._validate()
        if self.stored.batch.status == "failed":
            metrics.BATCHES.labels("failed").inc()
            return
        self._journal = await asyncio.to_thread(Journal, self._folder)
        try:
            if self.stored.outcome is None:
                await self._run_lines(self._journal)
                await self._decide(self._journal)
            if self.stored.outcome is not None:
                await self._write_output(self._journal, self.stored.outcome)
        finally:
            self._journal.close()

    def close(self) -> None:
        """Start no further line; :meth:`run` returns when those that run have ended."""
        self._closing.set()

    async def look_for_cancel(self) -> None:
        """Notice a request to cancel, which any process may have written."""
        self._cancelled_at = await asyncio.to_thread(self._store.cancelled_at, self.stored)

    async def save_progress(self) -> None:
        """Let clients see how many lines have finished. The journal has the truth."""
        if self._done != self._saved_lines and self.stored.outcome is None:
            self._saved_lines = self._done
            await self._save(sync=False)

    @property
    def _done(self) -> int:
        return len(self._journal.done) if self._journal else 0

    async def _validate(self) -> None:
        batch = self.stored.batch
        check = partial(check_lines, self._folder / INPUT, batch.endpoint, self._store.limits.lines)
        total, errors = await asyncio.to_thread(check)
        if errors:
            batch.status, batch.failed_at = "failed", _now()
            batch.errors = BatchErrors(data=errors)
        else:
            batch.status, batch.in_progress_at = "in_progress", _now()
            batch.request_counts.total = total
        await self._save()
        if errors:
            await asyncio.to_thread(self._store.drop_working_files, self.stored)

    async def _run_lines(self, journal: Journal) -> None:
        lines = read_lines(self._folder / INPUT, self.stored.batch.endpoint)
        async with asyncio.TaskGroup() as tasks:
            while not self._stopped():
                async with self._room:  # a line that is sent again later keeps its room
                    pass
                line = await asyncio.to_thread(_next_unfinished, lines, journal)
                if line is None:
                    break
                if (refused := self._refuse(journal, line)) is not None:
                    await self._add(journal, refused)
                elif await self._slots.acquire(self._stopped):
                    await self._room.acquire()
                    self.running += 1
                    tasks.create_task(self._run_line(journal, line))

    def _refuse(self, journal: Journal, line: InputLine) -> Result | None:
        if journal.interrupted[line.custom_id] >= MAX_INTERRUPTIONS:
            return from_error(line.custom_id, "request_interrupted", INTERRUPTED)
        if journal.size >= self._store.limits.output_bytes:
            return from_error(line.custom_id, "output_too_large", TOO_MUCH_OUTPUT)
        return None

    async def _run_line(self, journal: Journal, line: InputLine) -> None:
        put_back, has_slot = False, True
        try:
            journal.note_start(line.custom_id)
            put_back = True
            while has_slot and not self._stopped():
                response = await self._send(self.stored, line)
                if response.retry_after is None:
                    result = await asyncio.to_thread(from_response, line.custom_id, response)
                    await self._add(journal, result)
                    put_back = False
                    return
                put_back = not response.interrupted
                # Lines of other batches may have the slot, for instance if this key's limit is
                # reached.
                self._slots.release()
                has_slot = False
                with suppress(TimeoutError):
                    seconds = min(response.retry_after, LONGEST_PAUSE)
                    await asyncio.wait_for(self._closing.wait(), seconds)
                has_slot = await self._slots.acquire(self._stopped)
        finally:
            self.running -= 1
            self._room.release()
            if has_slot:
                self._slots.release()
            if put_back:
                journal.note_release(line.custom_id)

    async def _add(self, journal: Journal, *results: Result) -> None:
        await journal.add(*results)
        for result in results:
            metrics.LINES.labels("completed" if result.completed else "failed").inc()

    def _stopped(self) -> bool:
        return self._closing.is_set() or self._cancelled_at is not None or self._is_expired()

    def _is_expired(self) -> bool:
        return time.time() >= self.stored.batch.expires_at

    async def _decide(self, journal: Journal) -> None:
        """Set how the batch ends, if no further line will run.

        From here on it cannot be cancelled.
        """
        batch = self.stored.batch
        outcome: Outcome
        if self._cancelled_at is not None:
            outcome, batch.status, batch.cancelling_at = (
                "cancelled",
                "cancelling",
                self._cancelled_at,
            )
        elif len(journal.done) >= batch.request_counts.total:
            outcome, batch.status = "completed", "finalizing"
        elif self._is_expired():
            await self._expire_lines(journal)
            outcome, batch.status = "expired", "finalizing"
        else:
            return
        batch.finalizing_at = _now()
        batch.output_file_id = new_file_id() if journal.counts.completed else None
        batch.error_file_id = new_file_id() if journal.counts.failed else None
        self.stored.outcome = outcome
        await self._save()

    async def _expire_lines(self, journal: Journal) -> None:
        lines = read_lines(self._folder / INPUT, self.stored.batch.endpoint)
        expired: list[Result] = []
        while (line := await asyncio.to_thread(_next_unfinished, lines, journal)) is not None:
            expired.append(from_error(line.custom_id, "batch_expired", EXPIRED))
            if len(expired) == ERRORS_AT_ONCE:
                await self._add(journal, *expired)
                expired = []
        await self._add(journal, *expired)

    async def _write_output(self, journal: Journal, outcome: Outcome) -> None:
        """Write the output files under the ids of the record. Idempotent."""
        batch = self.stored.batch
        for file_id, mark, name in (
            (batch.output_file_id, COMPLETED, "output"),
            (batch.error_file_id, FAILED, "errors"),
        ):
            if file_id is not None:
                await asyncio.to_thread(self._store_results, file_id, mark, name)
        batch.status = outcome
        setattr(batch, f"{outcome}_at", _now())
        await self._save()
        await asyncio.to_thread(self._store.drop_working_files, self.stored)
        metrics.BATCHES.labels(outcome).inc()

    def _store_results(self, file_id: str, mark: bytes, name: str) -> None:
        """Copy the results of one kind into the store of files. Runs on a thread."""
        target = self._folder / name
        export(self._folder, mark, target)
        self._store.files.add_output(
            self.stored.owner,
            file_id,
            target,
            f"{self.stored.batch.id}_{name}.jsonl",
            self.stored.output_seconds,
        )
        target.unlink()

    async def _save(self, *, sync: bool = True) -> None:
        async with self._saving:
            if self._journal is not None:
                batch = self.stored.batch
                total = batch.request_counts.total
                batch.request_counts = self._journal.counts.model_copy(update={"total": total})
                batch.usage = self._journal.usage.model_copy(deep=True)
            snapshot = self.stored.model_copy(deep=True)
            await asyncio.to_thread(self._store.save, snapshot, sync=sync)


def _next_unfinished(lines: Iterator[InputLine], journal: Journal) -> InputLine | None:
    """Read the next line that the journal has no result for. Runs on a thread."""
    return next((line for line in lines if line.custom_id not in journal.done), None)


def _now() -> int:
    return int(time.time())
