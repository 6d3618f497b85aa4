"""Slots in the engine's queue, reserved from a request's arrival until the engine has its sequences.

vLLM checks its queue twice: before a response begins, and again when it adds the request, which for a stream is
after the status 200. Requests that took slots in between ended such streams with an error. Here a request
reserves what it needs before its response begins, and the second check always passes.

Between the arrival of a body and the first check, the body is parsed and its images are decoded and encoded. A
request reserves one slot for that time, or many would be prepared only to be refused.

The lines of batches are bounded before they get here. They take no slot and are never refused.
"""

import weakref
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from vllm.exceptions import VLLMError
from vllm.outputs import RequestOutput
from vllm.v1.engine.async_llm import AsyncLLM

from service.engine.failures import describe_failures
from service.plugin.errors import BadRequestError
from service.request_context import current_request
from service.shared_count import Count, LocalCount

Answer = AsyncGenerator[RequestOutput, None]


class Reservation:
    """Slots for the sequences of one request that is on its way to the engine."""

    def __init__(self, engine: "AdmittingEngine", sequences: int) -> None:
        self._engine = engine
        self._sequences = sequences
        engine.reservations.add(sequences)

    @property
    def sequences(self) -> int:
        """Sequences that are still reserved; 0 once the reservation is released."""
        return self._sequences

    def release(self) -> None:
        """Give the slots back: the engine has the request, or never will have it. Idempotent."""
        self._engine.reservations.add(-self._sequences)
        self._sequences = 0


class _Background:
    """The sequences of a batch's line."""

    def __init__(self, engine: "AdmittingEngine", sequences: int) -> None:
        self._engine = engine
        self._sequences = sequences
        engine.lines.add(sequences)

    def release(self) -> None:
        """Stop counting them. Idempotent."""
        self._engine.lines.add(-self._sequences)
        self._sequences = 0


async def _release_at_end(counted: _Background, answer: Answer) -> Answer:
    try:
        with describe_failures():
            async with aclosing(answer):
                async for output in answer:
                    yield output
    finally:
        counted.release()


class AdmittingEngine(AsyncLLM):
    """AsyncLLM that refuses a request before its response begins, or not at all. Lives on the event loop."""

    _reservations: Count | None = None
    _lines: Count | None = None

    _adding: Reservation | None = None
    """The reservation of the request that :meth:`add_request` is about to be called for."""

    @property
    def reservations(self) -> Count:
        """Counts the sequences that are reserved and not yet in the engine, over all API processes."""
        if self._reservations is None:
            self._reservations = LocalCount()
        return self._reservations

    @property
    def lines(self) -> Count:
        """Counts the sequences of batches' lines, of which one API process runs all."""
        if self._lines is None:
            self._lines = LocalCount()
        return self._lines

    @property
    def background(self) -> int:
        """Sequences of batches' lines, in the engine or on their way to it."""
        return self.lines.total

    @property
    def reserved(self) -> int:
        """Sequences that are reserved and not yet in the engine."""
        return self.reservations.total

    def share_counts(self, reservations: Count, lines: Count) -> None:
        """Count reservations and batches' lines together with other API processes."""
        self._reservations, self._lines = reservations, lines

    def is_full(self) -> bool:
        """Whether a request that arrives now must be refused."""
        try:
            self.check_admission()
        except VLLMError:
            return True
        return False

    def is_serving_clients(self) -> bool:
        """Whether the engine has, or will soon have, a request that a client waits for."""
        shared = self.admission_stats  # of all API processes, where there are several
        inside = shared.get_num_requests() if shared else self.get_num_unfinished_requests()
        return bool(inside + self.reserved - self.background > 0)

    @contextmanager
    def reserve_slot(self) -> Iterator[bool]:
        """Reserve one slot for the request that the block serves; gives whether there was one.

        :meth:`reserve` exchanges the slot for as many as the request asks for. What is left of it is released
        at the end of the block.
        """
        with self.reservations.lock:
            slot = None if self.is_full() else Reservation(self, 1)
        if slot is None:
            yield False
            return
        current_request().slot = slot
        try:
            yield True
        finally:
            slot.release()

    def reserve(self, sequences: int) -> Reservation:
        """Reserve slots for the current request's sequences.

        Raises:
            VLLMError: vLLM's own refusal for load.
            BadRequestError: more sequences than the queue can ever hold.
        """
        with self.reservations.lock:
            self.check_admission(sequences)
            if (slot := current_request().slot) is not None:
                slot.release()
            return Reservation(self, sequences)

    def check_admission(self, n: int = 1, request_id: str | None = None) -> None:
        """As AsyncLLM's, counting what is reserved; the current request's own slot does not count against it.

        AsyncLLM names the request when it checks again while it adds one: that request has its reservation.
        """
        if request_id is not None or current_request().is_background:
            return
        limit = self.scheduler_config.max_num_queued_reqs
        if limit is not None and n > limit:
            raise BadRequestError(f"At most {limit} sequences can be asked for.", parameter="n")
        slot = current_request().slot
        others = self.reserved - (slot.sequences if slot is not None else 0)
        super().check_admission(n + others - self.background)

    def count_background(self, sequences: int, answer: Answer) -> Answer:
        """``answer``, whose sequences count as background until it ends or is dropped."""
        counted = _Background(self, sequences)
        held = _release_at_end(counted, answer)
        weakref.finalize(held, counted.release)
        return held

    def hold_until_added(self, reservation: Reservation, answer: Answer) -> Answer:
        """``answer``, whose first step calls :meth:`add_request`; that releases ``reservation``.

        A caller may drop the answer without taking a step: the reservation is then released with it.
        """
        held = self._hold_until_added(reservation, answer)
        weakref.finalize(held, reservation.release)
        return held

    async def _hold_until_added(self, reservation: Reservation, answer: Answer) -> Answer:
        with describe_failures():
            async with aclosing(answer):
                # Between here and the first line of add_request nothing else runs on the event loop.
                self._adding = reservation
                async for output in answer:
                    yield output

    async def add_request(self, request_id: str, prompt: Any, *args: Any, **options: Any) -> Any:
        """As AsyncLLM's; releases the reservation once the engine counts the request itself."""
        reservation, self._adding = self._adding, None
        if reservation is None:
            self.check_admission()
        try:
            return await super().add_request(request_id, prompt, *args, **options)
        finally:
            if reservation is not None:
                reservation.release()
