"""Room in the engine's queue, kept from a request's arrival until the engine has it.

vLLM checks its queue twice: before a response begins, and when it adds the request, which for a stream
is after the status 200. What others took in between ended the stream with an error. So whoever passes
the first check keeps the room, and the second is not asked.

Between arrival and the first check stand parsing, decoding and encoding: what is there has a place, too,
or many would be prepared at once only to be refused.
"""

import weakref
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from typing import Any

from vllm.exceptions import RetryableRequestError, VLLMError
from vllm.outputs import RequestOutput
from vllm.v1.engine.async_llm import AsyncLLM

from service.engine.unsent import dropping_unsent, mark_sent
from service.plugin.errors import BadRequestError

Answer = AsyncGenerator[RequestOutput, None]


class Room:
    """Room for the sequences of one request that is on its way."""

    def __init__(self, engine: "AdmittingEngine", sequences: int) -> None:
        self._engine = engine
        self._sequences = sequences
        engine.arriving += sequences

    @property
    def sequences(self) -> int:
        """Sequences whose room is kept; none once it is released."""
        return self._sequences

    def release(self) -> None:
        """The request is in the engine, or never will be. Idempotent."""
        self._engine.arriving -= self._sequences
        self._sequences = 0

    def kept_for(self, answer: Answer) -> Answer:
        """``answer``, whose first step adds the request; nobody may ever take that step."""
        kept = self._kept_for(answer)
        weakref.finalize(kept, self.release)
        return kept

    async def _kept_for(self, answer: Answer) -> Answer:
        async with aclosing(answer):
            ROOM.set(self)
            async for output in answer:
                if any(choice.finish_reason == "error" for choice in output.outputs):
                    # The engine had forgotten an image that this process took it to have.
                    raise RetryableRequestError
                yield output


PLACE: ContextVar[Room | None] = ContextVar("place", default=None)
"""Room for one sequence of the request that is being served, until it says how many it wants."""

ROOM: ContextVar[Room | None] = ContextVar("room", default=None)
ADDING: ContextVar[bool] = ContextVar("adding", default=False)


class AdmittingEngine(AsyncLLM):
    """AsyncLLM that refuses a request before its response begins or not at all."""

    arriving: int = 0
    """Sequences whose room is kept."""

    def full(self) -> bool:
        """Whether a request that arrives now must be refused."""
        try:
            self.check_admission()
        except VLLMError:
            return True
        return False

    @contextmanager
    def place(self) -> Iterator[bool]:
        """A place for the request that the block serves; gives whether there was one.

        It is given up for what :meth:`reserve` keeps, or at the block's end.
        """
        if self.full():
            yield False
            return
        place = Room(self, 1)
        token = PLACE.set(place)
        try:
            with dropping_unsent():
                yield True
        finally:
            PLACE.reset(token)
            place.release()

    def reserve(self, sequences: int) -> Room:
        """Keep room; raises vLLM's 503, and :class:`BadRequestError` for more than there ever is."""
        self.check_admission(sequences)
        if (place := PLACE.get()) is not None:
            place.release()
        return Room(self, sequences)

    def check_admission(self, n: int = 1, request_id: str | None = None) -> None:
        """As AsyncLLM's, counting what is on its way; a request's own place is not against it."""
        if ADDING.get():
            return
        most = self.scheduler_config.max_num_queued_reqs
        if most is not None and n > most:
            raise BadRequestError(f"At most {most} sequences can be asked for.", parameter="n")
        place = PLACE.get()
        others = self.arriving - (place.sequences if place is not None else 0)
        super().check_admission(n + others, request_id)

    async def add_request(self, request_id: str, prompt: Any, *args: Any, **options: Any) -> Any:
        """As AsyncLLM's; a request whose room is kept is not refused for load any more."""
        if (room := ROOM.get()) is None:
            return await super().add_request(request_id, prompt, *args, **options)
        ROOM.set(None)
        adding = ADDING.set(True)
        try:
            collector = await super().add_request(request_id, prompt, *args, **options)
            mark_sent(prompt)
            return collector
        finally:
            ADDING.reset(adding)
            room.release()
