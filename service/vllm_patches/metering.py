"""Charge API keys for the engine's work: prompts at their start, answers at their end.

Replaces: the table of sequences (``request_states``) of vLLM's output processor.
Why no hook: an aborted request gives no output from which its tokens could be counted, and vLLM's
statistics do not know the API key. A sequence leaves the table by ``pop`` in each case.
Test: ``tests/vllm_patches/test_metering.py``; ``tests/end_to_end/test_production.py`` has streams
    and
aborted answers.
Upstream: a callback for each request that ends, with the numbers of its tokens.
"""

from time import monotonic
from typing import Any

from vllm.v1.engine.output_processor import OutputProcessor, RequestState

from service.request_context import current_request
from service.usage.amounts import Usage
from service.usage.recording import record


class MeteredStates(dict[str, RequestState]):
    """The sequences in the engine, by id. It replaces the table of vLLM's output processor.

    A sequence enters the table in the task of its request. It leaves when it has finished, was
    aborted, or its client has disconnected.
    """

    def __init__(self) -> None:
        super().__init__()
        self._entered: dict[str, tuple[str, float]] = {}

    def __setitem__(self, request_id: str, state: RequestState) -> None:
        """Charge the prompt, once for a request with several answers (``n``)."""
        super().__setitem__(request_id, state)
        tenant = current_request().tenant
        self._entered[request_id] = tenant, monotonic()
        if state.request_index == 0:
            record(tenant, Usage(input_tokens=state.prompt_len))

    def pop(self, request_id: str, *default: Any) -> Any:
        """Charge the generated part of the answer."""
        state = super().pop(request_id, *default)
        if (entered := self._entered.pop(request_id, None)) is not None:
            tenant, since = entered
            record(tenant, _measure(state, monotonic() - since))
        return state


def _measure(state: RequestState, seconds: float) -> Usage:
    """What one sequence has used after ``seconds`` in the table."""
    tokens = state.detokenizer.num_output_tokens() if state.detokenizer is not None else 0
    stats = state.stats
    if stats is not None and stats.scheduled_ts:
        seconds -= stats.scheduled_ts - stats.queued_ts
    return Usage(output_tokens=tokens, engine_seconds=max(0.0, seconds))


def meter(processor: OutputProcessor) -> None:
    """Charge for all sequences that ``processor`` will hold; it must not hold any yet."""
    assert not processor.request_states, "requests came before the meter: a bug"
    processor.request_states = MeteredStates()
