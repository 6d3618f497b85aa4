"""Slots in the queue are reserved for admitted requests, and freed."""

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.exceptions import VLLMError
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from service.engine.admission import AdmittingEngine, Answer
from service.engine.failures import ENDED, FAILED
from service.plugin.errors import BadRequestError
from service.request_context import RequestContext, enter_request, leave_request
from service.shared_count import SharedCount

TOKEN = SimpleNamespace(outputs=[SimpleNamespace(finish_reason=None)])


class FullError(VLLMError):
    """As vLLM's."""


class Engine(AdmittingEngine):
    """A queue of three slots, without an engine."""

    def __init__(self) -> None:
        self.inside = 0
        self.admission_stats = None
        self.scheduler_config: Any = SimpleNamespace(max_num_queued_reqs=3)

    def get_num_unfinished_requests(self) -> int:
        return self.inside

    def shutdown(self, *_: Any, **__: Any) -> None:
        """Nothing runs."""


@pytest.fixture(autouse=True)
def request_context() -> Iterator[None]:
    """One request for the whole test."""
    token = enter_request(RequestContext())
    yield
    leave_request(token)


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(self: Engine, n: int = 1, request_id: str | None = None) -> None:
        if self.inside + n > 3:
            raise FullError

    async def add(self: Engine, *_: Any, **__: Any) -> None:
        self.check_admission(1, "internal")
        self.inside += 1

    monkeypatch.setattr(AsyncLLM, "check_admission", check)
    monkeypatch.setattr(AsyncLLM, "add_request", add)


def ask(engine: Engine, n: int = 1) -> Answer:
    async def answer() -> Any:
        await engine.add_request("x", {})
        yield TOKEN

    return engine.hold_until_added(engine.reserve(n), answer())


async def test_an_admitted_request_is_not_refused_later() -> None:
    engine = Engine()
    answers = [ask(engine) for _ in range(3)]
    with pytest.raises(FullError):
        ask(engine)
    for answer in answers:
        assert await anext(answer) == TOKEN
    assert (engine.inside, engine.reserved) == (3, 0)
    with pytest.raises(FullError):
        await engine.add_request("uninvited", {})


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (EngineDeadError(), 503, ENDED),
        (EngineGenerateError(), 500, FAILED),
        (BadRequestError("a sentence of ours", parameter="n"), 400, "a sentence of ours"),
    ],
)
@pytest.mark.parametrize("background", [False, True])
async def test_the_client_is_told_of_a_failed_engine_in_our_words(
    error: Exception, status: int, sentence: str, background: bool
) -> None:
    async def answer() -> Any:
        yield TOKEN
        raise error

    engine = Engine()
    held = (
        engine.count_background(1, answer())
        if background
        else engine.hold_until_added(engine.reserve(1), answer())
    )
    await anext(held)
    with pytest.raises(VLLMError) as raised:
        await anext(held)
    told = create_error_response(raised.value).error
    assert (told.code, told.message) == (status, sentence)
    assert engine.background == 0


async def test_a_dropped_request_frees_its_slots() -> None:
    engine = Engine()
    answer = ask(engine, n=3)
    assert engine.reserved == 3
    del answer
    assert engine.reserved == 0
    ask(engine)


def test_more_sequences_than_slots_is_a_client_error() -> None:
    with pytest.raises(BadRequestError, match="At most 3"):
        ask(Engine(), n=4)


def test_a_slot_is_exchanged_for_as_many_as_the_request_needs() -> None:
    engine = Engine()
    with engine.reserve_slot() as kept:
        assert kept
        assert engine.reserved == 1
        room = engine.reserve(3)
        assert engine.reserved == 3
        assert engine.is_full()
        with engine.reserve_slot() as another:
            assert not another
    assert engine.reserved == 3, "the room outlives the place"
    room.release()
    assert not engine.is_full()


def test_slots_of_requests_in_preparation_count() -> None:
    engine = Engine()
    with engine.reserve_slot():
        other_request = copy_context()
        other_request.run(enter_request, RequestContext())
        second = engine.reserve_slot()
        other_request.run(second.__enter__)
        with pytest.raises(FullError):
            engine.reserve(3)
        engine.reserve(2).release()
        other_request.run(second.__exit__, None, None, None)
    assert engine.reserved == 0


async def test_a_slot_is_freed_for_every_end_of_the_request() -> None:
    engine = Engine()

    async def serve() -> None:
        with engine.reserve_slot():
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await asyncio.sleep(0)
    assert engine.reserved == 1
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert engine.reserved == 0


def as_line(engine: Engine, n: int = 1) -> Answer:
    """The answer to a batch's line."""

    async def answer() -> Any:
        await engine.add_request("line", {})
        yield TOKEN
        engine.inside -= 1

    return engine.count_background(n, answer())


async def test_lines_of_batches_take_no_slot_and_are_not_refused() -> None:
    engine = Engine()
    others = [ask(engine) for _ in range(3)]
    line = copy_context()
    line.run(enter_request, RequestContext(batch="batch_1"))
    answer = line.run(as_line, engine)
    task = line.run(asyncio.ensure_future, anext(answer))
    assert await task == TOKEN
    assert engine.background == 1
    with pytest.raises(FullError):
        ask(engine)
    del others
    assert not engine.is_serving_clients()
    assert not engine.is_full()
    await answer.aclose()
    assert engine.background == 0


async def test_the_lines_of_another_process_take_no_slot_either() -> None:
    running, other = Engine(), Engine()
    reservations, lines = (SharedCount([0, 0], nullcontext()) for _ in range(2))
    for index, engine in enumerate((running, other)):
        engine.share_counts(reservations.for_process(index), lines.for_process(index))
    line = copy_context()
    line.run(enter_request, RequestContext(batch="batch_1"))
    answer = line.run(as_line, running, 3)
    other.inside = 3  # vLLM counts the sequences of all processes
    assert not other.is_full()
    del answer
    assert other.is_full()


async def test_a_client_is_being_served_from_its_reservation_on() -> None:
    engine = Engine()
    assert not engine.is_serving_clients()
    with engine.reserve_slot():
        assert engine.is_serving_clients()
    assert not engine.is_serving_clients()


def test_a_line_whose_answer_is_dropped_does_not_count() -> None:
    engine = Engine()
    answer = as_line(engine)
    assert engine.background == 1
    del answer
    assert engine.background == 0
