"""A ledger in a memory-mapped file, which any number of processes may share.

The file is a header and one row for each key. A row is the hash of the key's name and a few float64
numbers. Every access holds a lock of this process's threads, and one on the file (flock), which the
system releases when a process is killed.
"""

import fcntl
import mmap
import os
import struct
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from service.errors import SettingsError
from service.usage.amounts import KeyLimits, Usage
from service.usage.ledger import Admission
from service.usage.meter import Meter

MAGIC = b"minigpt4 usage 1"
"""First bytes of the file; the number changes with the layout."""

ROWS = 4096
"""Names of keys that have a row of their own. Further names share the last row, and so its limits."""

LABELS = 128
"""Names of keys that are labels of metrics; each label has a dozen series."""

DIGEST, NUMBERS = 32, 28
ROW_BYTES = DIGEST + 8 * NUMBERS
HEADER_BYTES = 256
FILE_BYTES = HEADER_BYTES + ROWS * ROW_BYTES
SUMS = len(fields(Usage))
REQUESTS, TOKENS, TOKEN_LIMIT, CONCURRENT = SUMS, SUMS + 2, SUMS + 4, SUMS + 5
"""Positions in a row after the sums: two meters of two numbers, the token limit, the requests in
progress."""

SINCE = len(MAGIC)
OTHER = "other"

Numbers: TypeAlias = "memoryview[float]"


class MappedLedger:
    """The figures of all API keys in a file."""

    def __init__(self, descriptor: int) -> None:
        """Take over an open file; raises :class:`ValueError` if it does not hold a ledger.

        Use :func:`create` or :func:`attach`.
        """
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        if (
            os.fstat(descriptor).st_size != FILE_BYTES
            or os.pread(descriptor, len(MAGIC), 0) != MAGIC
        ):
            raise ValueError("not a ledger")
        self._bytes = mmap.mmap(descriptor, FILE_BYTES)
        self._all_numbers: Numbers = memoryview(self._bytes).cast("d")
        self._threads = threading.Lock()
        self._rows: dict[str, int] = {}

    @property
    def shared_path(self) -> Path:
        """A path by which other processes of this user can attach while this one runs."""
        return Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")

    @property
    def since(self) -> float:
        """Time (Unix, seconds) at which the sums began."""
        return float(struct.unpack_from("d", self._bytes, SINCE)[0])

    def add(self, key: str, used: Usage) -> None:
        """Add amounts to a key's sums, and count their tokens against its limit."""
        with self._locked(key) as numbers:
            for index, amount in enumerate(used.amounts):
                if amount:
                    numbers[index] += amount
            limit = int(numbers[TOKEN_LIMIT]) or None
            if used.tokens and limit:
                meter = _drained(numbers, TOKENS, limit)
                meter.used += used.tokens
                _store(numbers, TOKENS, meter)

    def read(self, key: str) -> Usage:
        """A key's sums."""
        with self._locked(key) as numbers:
            return Usage(*numbers[:SUMS])

    def admit(self, key: str, limits: KeyLimits) -> Admission:
        """Count a request against a key's limits, or say which limit refuses it."""
        with self._locked(key) as numbers:
            return _check(numbers, limits, requests=1)

    def peek(self, key: str, limits: KeyLimits) -> Admission:
        """What is left of a key's limits, without counting a request."""
        with self._locked(key) as numbers:
            return _check(numbers, limits, requests=0)

    def leave(self, key: str) -> None:
        """Count the end of an admitted request."""
        with self._locked(key) as numbers:
            numbers[CONCURRENT] = max(0.0, numbers[CONCURRENT] - 1)

    def label(self, key: str) -> str:
        """``key`` as the label of a metric, or ``other``. All processes choose the same."""
        if key not in self._rows:
            with self._locked(key):
                pass
        return key if self._rows[key] < LABELS else OTHER

    def forget_requests(self) -> None:
        """Clear what belongs to processes that no longer run: requests in progress and meters."""
        for row in range(ROWS):
            numbers = self._numbers(row)
            numbers[SUMS:] = memoryview(bytes(8 * (NUMBERS - SUMS))).cast("d")

    @contextmanager
    def _locked(self, key: str) -> Iterator[Numbers]:
        """The numbers of a key's row, while no other thread or process uses the file."""
        with self._threads:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield self._numbers(self._row(key))
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _row(self, key: str) -> int:
        """The key's row; takes the next free one at first sight."""
        if (known := self._rows.get(key)) is not None:
            return known
        digest = sha256(key.encode()).digest()
        for row in range(ROWS):
            start = HEADER_BYTES + row * ROW_BYTES
            stored = self._bytes[start : start + DIGEST]
            if stored == bytes(DIGEST):
                self._bytes[start : start + DIGEST] = digest
            if stored in (digest, bytes(DIGEST)):
                break
        self._rows[key] = row
        return row

    def _numbers(self, row: int) -> Numbers:
        start = (HEADER_BYTES + row * ROW_BYTES + DIGEST) // 8
        return self._all_numbers[start : start + NUMBERS]


def create(path: Path | None = None) -> MappedLedger:
    """Open the ledger in the first process of a service; the others call :func:`attach`.

    Args:
        path: File that keeps the sums from one start to the next; None for a file without a name.

    Raises:
        SettingsError: the file cannot be opened, or is something else.
    """
    with _translate_errors(path):
        descriptor = _open(path)
        if os.fstat(descriptor).st_size == 0:
            os.ftruncate(descriptor, FILE_BYTES)
            os.pwrite(descriptor, MAGIC + struct.pack("d", time.time()), 0)
        ledger = MappedLedger(descriptor)
        ledger.forget_requests()
        return ledger


def attach(path: Path) -> MappedLedger:
    """Open the ledger of another process of the service; raises :class:`SettingsError`.

    Each process must open the file itself: a lock on an inherited descriptor does not exclude its
        parent.
    """
    with _translate_errors(path):
        return MappedLedger(os.open(path, os.O_RDWR | os.O_CLOEXEC))


def _open(path: Path | None) -> int:
    if path is None:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _translate_errors(path: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(f"The usage file {path} cannot be used: {error.strerror}") from error
    except ValueError:
        raise SettingsError(
            f"{path} is not a usage file of this version; remove it or name another."
        ) from None


def _drained(numbers: Numbers, position: int, limit: int | None) -> Meter:
    meter = Meter(numbers[position], numbers[position + 1])
    # The monotonic clock is the same for all processes of a machine.
    meter.drain(limit, time.monotonic())
    return meter


def _store(numbers: Numbers, position: int, meter: Meter) -> None:
    numbers[position], numbers[position + 1] = meter.used, meter.updated


def _check(numbers: Numbers, limits: KeyLimits, requests: int) -> Admission:
    """Check ``requests`` more requests against the limits, and count them if they are admitted."""
    numbers[TOKEN_LIMIT] = limits.tokens_per_minute or 0
    by_requests = _drained(numbers, REQUESTS, limits.requests_per_minute)
    by_tokens = _drained(numbers, TOKENS, limits.tokens_per_minute)
    refused_by, wait = _find_refusal(numbers[CONCURRENT], by_requests, by_tokens, limits)
    if refused_by is None and requests:
        by_requests.used += requests if limits.requests_per_minute else 0
        numbers[CONCURRENT] += requests
    _store(numbers, REQUESTS, by_requests)
    _store(numbers, TOKENS, by_tokens)
    return Admission(
        refused_by,
        wait,
        by_requests.allowance(limits.requests_per_minute),
        by_tokens.allowance(limits.tokens_per_minute),
    )


def _find_refusal(
    concurrent: float, by_requests: Meter, by_tokens: Meter, limits: KeyLimits
) -> tuple[str | None, float]:
    """The limit that refuses one more request, and the seconds until it does not."""
    if limits.concurrent_requests is not None and concurrent >= limits.concurrent_requests:
        return "concurrent_requests", 1.0  # the end of a request is not known
    per_minute = limits.requests_per_minute
    if per_minute is not None and by_requests.used > per_minute - 1:
        return "requests_per_minute", by_requests.seconds_until(per_minute - 1, per_minute)
    # An answer's length is not known in advance: one token that is left admits a request.
    per_minute = limits.tokens_per_minute
    if per_minute is not None and by_tokens.used > per_minute - 1:
        return "tokens_per_minute", by_tokens.seconds_until(per_minute - 1, per_minute)
    return None, 0.0
