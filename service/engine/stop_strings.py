"""The family's stop strings, in addition to the client's.

vLLM reads default sampling parameters from a generation config, which cannot contain stop strings.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams


def missing_stop(params: SamplingParams, stop: Sequence[str]) -> tuple[str, ...]:
    """Return the family's stop strings that the client has not sent.

    No string is added if it cannot or must not end an answer:

    - with ``ignore_eos``, because the client wants the full length;
    - without text, because strings are searched in text;
    - while a grammar is in force. It allows the end mark inside a JSON string, where it would cut
      the answer off. A grammar ends an answer by itself, because it allows only the end-of-sequence
      token then. Structural tags leave free text between them, in which the end mark does end the
      answer.
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
        # A stream holds back text that may be the beginning of a stop string.
        params.output_text_buffer_length = max(len(text) for text in params.stop) - 1
    return params


async def end_naturally(
    answer: AsyncGenerator[RequestOutput, None], added: Sequence[str]
) -> AsyncGenerator[RequestOutput, None]:
    """Yield ``answer``, in which the strings ``added`` end it like the end-of-sequence token.

    The client did not send these strings, so it must not see one as the reason: Anthropic's clients
    would get ``stop_sequence`` instead of ``end_turn``.
    """
    async with aclosing(answer):
        async for output in answer:
            for choice in output.outputs:
                if choice.stop_reason in added:
                    choice.stop_reason = None
            yield output
