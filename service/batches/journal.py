"""The finished lines of a batch. A line counts when it is on the disk.

``results`` holds a line for each finished line of the batch: ``+`` or ``-`` for the output or the
error file, and then the line of that file. A killed process loses at most the line that it was
writing: the next process removes an incomplete line and runs it again.

``attempts`` says which lines were running when a process was killed, so that a line that ends the
process is not repeated forever.
"""

import asyncio
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from service.batches.record import Counts, Usage
from service.batches.result import Result, count

RETRY_SECONDS = 5.0
"""Seconds before results are written again after an error of the disk."""

COMPLETED, FAILED = b"+", b"-"

logger = logging.getLogger("service.batches")


class Journal:
    """The journal of one batch. Only the process that runs batches opens it.

    Attributes:
        counts: Finished lines; the total is not known here.
        usage: Tokens of the completed lines.
        done: Ids of the finished lines.
        interrupted: For each line that was running when a process was killed, how often that
            happened.
    """

    def __init__(self, folder: Path) -> None:
        """Open the journal and read what it has. Blocks: call it on a thread."""
        self.counts, self.usage = Counts(), Usage()
        self.done: set[str] = set()
        self._results = (folder / "results").open("a+b", buffering=0)
        self._attempts = (folder / "attempts").open("a+b", buffering=0)
        self._pending: list[Result] = []
        self._writing = asyncio.Lock()
        self._read_results()
        self.interrupted = self._count_interrupted()

    @property
    def size(self) -> int:
        """Bytes of the results."""
        return self._end

    async def add(self, *results: Result) -> None:
        """Return once the results are on disk.

        Results that arrive during a write share the next one.
        """
        self._pending += results
        ids = {result.custom_id for result in results}
        while not ids <= self.done:
            async with self._writing:
                if ids <= self.done:
                    return
                batch = list(self._pending)
                try:
                    await asyncio.to_thread(self._write, batch)
                except OSError as error:
                    logger.error("results of a batch cannot be written: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                del self._pending[: len(batch)]
                self._count(batch)

    def note_start(self, custom_id: str) -> None:
        """Note that a line runs. Not synced: it only has to survive the process."""
        self._note("start", custom_id)

    def note_release(self, custom_id: str) -> None:
        """Note that a line was put back in an orderly way."""
        self._note("release", custom_id)

    def close(self) -> None:
        """Close the files."""
        self._results.close()
        self._attempts.close()

    def _note(self, what: str, custom_id: str) -> None:
        os.write(self._attempts.fileno(), json.dumps([what, custom_id]).encode() + b"\n")

    def _write(self, batch: Iterable[Result]) -> None:
        """Write whole lines or nothing."""
        data = b"".join(
            (COMPLETED if result.completed else FAILED) + result.text + b"\n" for result in batch
        )
        try:
            if (written := os.write(self._results.fileno(), data)) < len(data):
                raise OSError(f"{written} of {len(data)} bytes were written")
            os.fsync(self._results.fileno())
        except OSError:
            self._results.truncate(self._end)
            raise
        self._end += len(data)

    def _count(self, batch: Iterable[Result]) -> None:
        for result in batch:
            self.done.add(result.custom_id)
            count(self.counts, self.usage, result)

    def _read_results(self) -> None:
        self._end = 0
        self._results.seek(0)
        with open(self._results.fileno(), "rb", closefd=False) as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._count([_parse(line)])
                self._end += len(line)
        self._results.truncate(self._end)

    def _count_interrupted(self) -> Counter[str]:
        self._attempts.seek(0)
        balance: Counter[str] = Counter()
        for line in self._attempts.read().splitlines():
            try:
                what, custom_id = json.loads(line)
            except ValueError:
                continue  # cut off
            balance[custom_id] += 1 if what == "start" else -1
        return +Counter({key: n for key, n in balance.items() if key not in self.done})


def _parse(line: bytes) -> Result:
    fields = json.loads(line[1:])
    body = fields["response"]["body"] if fields["response"] else None
    usage = body.get("usage") if isinstance(body, dict) else None
    return Result(fields["custom_id"], line[:1] == COMPLETED, line[1:-1], usage)


def export(folder: Path, mark: bytes, target: Path) -> int:
    """Write the completed or the failed results to a file; return its size in bytes."""
    size = 0
    with (folder / "results").open("rb") as lines, target.open("wb") as file:
        for line in lines:
            if line.startswith(mark):
                size += file.write(line[1:])
    return size
