"""Room in the queue is kept for those who were let in, and given back."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.v1.engine.async_llm import AsyncLLM

from service.engine.admission import AdmittingEngine, Answer
from service.engine.errors import BadRequestError

TOKEN = SimpleNamespace(outputs=[SimpleNamespace(finish_reason=None)])


class FullError(Exception):
    """As vLLM's."""


class Engine(AdmittingEngine):
    """No engine: a queue of three places."""

    def __init__(self) -> None:
        self.inside = 0
        self.scheduler_config = SimpleNamespace(max_num_queued_reqs=3)

    def shutdown(self, *_: Any, **__: Any) -> None:
        """Nothing runs."""


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(self: Engine, n: int = 1, request_id: str | None = None) -> None:
        if self.inside + n > 3:
            raise FullError

    async def add(self: Engine, *_: Any, **__: Any) -> None:
        self.check_admission(1)
        self.inside += 1

    monkeypatch.setattr(AsyncLLM, "check_admission", check)
    monkeypatch.setattr(AsyncLLM, "add_request", add)


def ask(engine: Engine, n: int = 1) -> Answer:
    async def answer() -> Any:
        await engine.add_request("x", {})
        yield TOKEN

    return engine.reserve(n).kept_for(answer())


async def test_who_was_let_in_is_not_refused_later() -> None:
    engine = Engine()
    answers = [ask(engine) for _ in range(3)]
    with pytest.raises(FullError):
        ask(engine)
    for answer in answers:
        assert await anext(answer) == TOKEN
    assert (engine.inside, engine.arriving) == (3, 0)
    with pytest.raises(FullError):
        await engine.add_request("uninvited", {})


async def test_a_request_that_nobody_follows_gives_its_room_back() -> None:
    engine = Engine()
    answer = ask(engine, n=3)
    assert engine.arriving == 3
    del answer
    assert engine.arriving == 0
    ask(engine)


def test_more_than_there_ever_is_is_no_matter_of_load() -> None:
    with pytest.raises(BadRequestError, match="At most 3"):
        ask(Engine(), n=4)
