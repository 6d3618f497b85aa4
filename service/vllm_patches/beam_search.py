"""Replace vLLM's beam search by ours, on all routes that offer it.

vLLM's beams end only at the end-of-sequence token, so a MiniGPT-4 answer continues past ``###``
into the next turn. vLLM also divides a beam's score by the length of prompt and answer together;
transformers divides by the answer's.

Replaces: ``BeamSearchOnlineMixin.beam_search``.
Why no hook: the chat and completion handlers inherit the method, and the application's factory
    names their classes.
Test: ``tests/end_to_end/test_beam_search.py`` compares with transformers' ``generate``.
Upstream: stop strings in ``BeamSearchParams``, and a score by the answer's length.
"""

from collections.abc import AsyncGenerator, Callable

from vllm.entrypoints.generate.beam_search.online import BeamSearchOnlineMixin
from vllm.outputs import RequestOutput

Search = Callable[..., AsyncGenerator[RequestOutput, None]]


def replace_beam_search(search: Search) -> None:
    """Make ``search`` the handlers' method; it takes the handler first. Idempotent."""
    BeamSearchOnlineMixin.beam_search = search  # type: ignore[method-assign]
