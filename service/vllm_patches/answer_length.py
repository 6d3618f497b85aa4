"""300 new tokens for a request that names no limit, as in the original's demo.

Replaces: ``default_sampling_params["max_tokens"]`` of vLLM's chat-like handlers. Completions keep OpenAI's own
default of 16.
Why no hook: vLLM's setting for it (``max_new_tokens`` of the generation config) is also an upper limit for
requests that name one. The engine client cannot do it either: when it is called, the handler has already
turned "no limit" into the rest of the context.
Test: ``tests/vllm_patches/test_answer_length.py``.
Upstream: a default for ``max_tokens`` that does not cap requests.
"""

from starlette.datastructures import State

HANDLERS = ("openai_serving_chat", "openai_serving_responses", "anthropic_serving_messages")


def set_default_answer_length(state: State, tokens: int) -> None:
    """Make ``tokens`` the default of the handlers in the application's state."""
    for handler in HANDLERS:
        getattr(state, handler).default_sampling_params["max_tokens"] = tokens
