"""Limit answers to 300 new tokens if a request has no limit, as in the original's demo.

Replaces: ``default_sampling_params["max_tokens"]`` of vLLM's chat-like handlers. Completions keep
OpenAI's own default of 16. Why no hook: vLLM's setting (``max_new_tokens`` of the generation
config) is also an upper limit for requests with their own limit. The engine client cannot do it:
before its call, the handler has replaced "no limit" by the rest of the context. Test:
``tests/vllm_patches/test_answer_length.py``. Upstream: a default for ``max_tokens`` that does not
cap requests.
"""

from starlette.datastructures import State

HANDLERS = ("openai_serving_chat", "openai_serving_responses", "anthropic_serving_messages")


def set_default_answer_length(state: State, tokens: int) -> None:
    """Make ``tokens`` the default of the handlers in the application's state."""
    for handler in HANDLERS:
        getattr(state, handler).default_sampling_params["max_tokens"] = tokens
