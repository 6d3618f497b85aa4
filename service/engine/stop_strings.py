"""The family's stop strings, which end answers beside the client's own.

vLLM takes default sampling from a generation config, which has no place for strings.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams


def missing_stop(params: SamplingParams, stop: Sequence[str]) -> tuple[str, ...]:
    """The strings of the family's ``stop`` that the client has not asked for itself.

    None are added where they cannot or must not end an answer:

    - with ``ignore_eos``, which asks for the full length;
    - without text, in which strings could be found;
    - while a grammar is in force. It allows the end mark inside a JSON string, where it would cut the answer off. A
      grammar ends an answer by itself, because it allows only the end-of-sequence token then. Structural tags leave
      free text between them, which the end mark ends as always.
    """
    if params.ignore_eos or not params.detokenize or _is_bound_by_grammar(params):
        return ()
    return tuple(text for text in stop if text not in (params.stop or []))


def _is_bound_by_grammar(params: SamplingParams) -> bool:
    constraint = params.structured_outputs
    return constraint is not None and constraint.structural_tag is None


def with_stop(params: SamplingParams, added: Sequence[str]) -> SamplingParams:
    """``params`` with ``added`` beside the client's own stop strings."""
    if not added:
        return params
    params = params.clone()
    params.stop = [*(params.stop or []), *added]
    if not params.include_stop_str_in_output:
        # Text that may be the beginning of a stop string is held back from a stream.
        params.output_text_buffer_length = max(len(text) for text in params.stop) - 1
    return params


async def end_naturally(
    answer: AsyncGenerator[RequestOutput, None], added: Sequence[str]
) -> AsyncGenerator[RequestOutput, None]:
    """``answer``, in which ``added`` are the end that the model has found, as its end-of-sequence token is.

    A client that asked for no stop string must not be told of one: Anthropic's would hear that it was cut
    off by ``stop_sequence`` instead of the model's ``end_turn``.
    """
    async with aclosing(answer):
        async for output in answer:
            for choice in output.outputs:
                if choice.stop_reason in added:
                    choice.stop_reason = None
            yield output
