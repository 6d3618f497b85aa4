"""Sequences are charged when they enter the engine and when they leave it."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from service.request_context import RequestContext, enter_request, leave_request
from service.usage import recording
from service.usage.mapped_ledger import create
from service.usage.recording import set_ledger, shared_ledger
from service.vllm_patches.metering import MeteredStates


@pytest.fixture(autouse=True)
def alice() -> Iterator[None]:
    before = recording._ledger
    set_ledger(create())
    token = enter_request(RequestContext(tenant="alice"))
    yield
    leave_request(token)
    recording._ledger = before


def sequence(index: int = 0, tokens: int = 3, **stats: float) -> Any:
    return SimpleNamespace(
        request_index=index,
        prompt_len=10,
        detokenizer=SimpleNamespace(num_output_tokens=lambda: tokens),
        stats=SimpleNamespace(**{"scheduled_ts": 0.0, "queued_ts": 0.0, **stats}),
    )


def test_a_prompt_counts_at_once_and_an_answer_as_far_as_it_came() -> None:
    states = MeteredStates()
    states["a"] = sequence()
    assert shared_ledger().read("alice").input_tokens == 10
    assert states.pop("a").prompt_len == 10
    used = shared_ledger().read("alice")
    assert (used.input_tokens, used.output_tokens) == (10, 3)
    assert used.engine_seconds > 0
    assert states.pop("a", None) is None
    assert shared_ledger().read("alice") == used


def test_several_answers_share_one_prompt() -> None:
    states = MeteredStates()
    for index in range(3):
        states[str(index)] = sequence(index)
    for index in range(3):
        states.pop(str(index))
    used = shared_ledger().read("alice")
    assert (used.input_tokens, used.output_tokens) == (10, 9)


def test_the_requests_key_is_charged_for_every_end_of_a_sequence() -> None:
    states = MeteredStates()
    states["a"] = sequence()
    token = enter_request(RequestContext(tenant="bob"))
    states.pop("a")
    leave_request(token)
    assert shared_ledger().read("alice").output_tokens == 3
    assert shared_ledger().read("bob").output_tokens == 0


def test_time_in_the_queue_is_not_charged() -> None:
    states = MeteredStates()
    states["a"] = sequence(queued_ts=1.0, scheduled_ts=1e9)
    states.pop("a")
    assert shared_ledger().read("alice").engine_seconds == 0
