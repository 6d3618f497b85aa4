"""Runs unfinished batches, some at a time, in the process that holds the store's lock."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from service.batches import metrics
from service.batches.one_batch import BatchRun, Send
from service.batches.ownership import Ownership
from service.batches.record import StoredBatch
from service.batches.slots import LineSlots
from service.batches.store import BatchStore

MAX_ACTIVE = 8
"""Batches that run at once. Each keeps the ids of its finished lines in memory."""

SCAN_SECONDS = 1.0
"""Seconds between searches for new batches and requests to cancel, which other processes also
write."""

SWEEP_SECONDS = 600.0
FAILURE_SECONDS = 60.0
"""Pause before a batch is taken up again after an error of the disk or a bug."""

CLOSE_SECONDS = 10.0
"""Longest wait for lines that end when the service stops. What is left runs again after the next
start."""

logger = logging.getLogger("service.batches")


class BatchRunner:
    """The runner of one process. Lives on the event loop."""

    def __init__(self, store: BatchStore, slots: LineSlots, send: Send) -> None:
        self._store = store
        self._slots = slots
        self._send = send
        self._ownership = Ownership(store.root)
        self._runs: dict[str, tuple[BatchRun, asyncio.Task[None]]] = {}
        self._not_before: dict[str, float] = {}
        self._swept = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run batches while the block runs."""
        loop = asyncio.create_task(self._run_forever())
        try:
            yield
        finally:
            loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop
            await self._close()

    async def _run_forever(self) -> None:
        while True:
            try:
                if await asyncio.to_thread(self._ownership.acquire):
                    await self._scan()
            except OSError as error:
                logger.error("batches cannot be read or written: %s", error)
            except Exception:
                logger.exception("batches: a scan failed; the next one tries again.")
            await asyncio.sleep(SCAN_SECONDS)

    async def _scan(self) -> None:
        if time.monotonic() - self._swept > SWEEP_SECONDS or not self._swept:
            self._swept = time.monotonic()
            await asyncio.to_thread(self._store.sweep)
        for run, _ in list(self._runs.values()):  # a batch may end meanwhile
            await run.look_for_cancel()
            await run.save_progress()
        unfinished = await asyncio.to_thread(lambda: list(self._store.list_unfinished()))
        for stored in choose(unfinished, self._runs.keys(), MAX_ACTIVE):
            if time.monotonic() >= self._not_before.get(stored.batch.id, 0.0):
                self._start(stored)
        self._report(unfinished)

    def _start(self, stored: StoredBatch) -> None:
        run = BatchRun(stored, self._store, self._slots, self._send)
        task = asyncio.create_task(run.run())
        batch_id = stored.batch.id
        self._runs[batch_id] = run, task
        task.add_done_callback(lambda task: self._forget(batch_id, task))

    def _forget(self, batch_id: str, task: asyncio.Task[None]) -> None:
        del self._runs[batch_id]
        self._not_before.pop(batch_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("batch %s stopped and will be taken up again.", batch_id, exc_info=error)
            self._not_before[batch_id] = time.monotonic() + FAILURE_SECONDS

    def _report(self, unfinished: Iterable[StoredBatch]) -> None:
        counts = [
            stored.batch.request_counts
            for stored in unfinished
            if stored.batch.id not in self._runs
        ]
        waiting = sum(each.total - each.completed - each.failed for each in counts)
        metrics.WAITING.set(waiting + sum(run.waiting for run, _ in self._runs.values()))
        metrics.RUNNING.set(self._slots.running)

    async def _close(self) -> None:
        runs = list(self._runs.values())
        for run, _ in runs:
            run.close()
        tasks = [task for _, task in runs]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        self._ownership.release()


def choose(
    unfinished: Iterable[StoredBatch], active: Iterable[str], limit: int
) -> list[StoredBatch]:
    """Return the batches to start, the oldest of each owner first, up to ``limit`` active ones."""
    active = set(active)
    room = limit - len(active)
    rank: Counter[str] = Counter()
    ranked = []
    for stored in sorted(unfinished, key=lambda stored: stored.batch.created_at):
        rank[stored.owner] += 1
        if stored.batch.id not in active:
            ranked.append((rank[stored.owner], stored.batch.created_at, stored))
    ranked.sort(key=lambda each: each[:2])
    return [stored for _, _, stored in ranked[: max(0, room)]]
