"""Remove the white space before an answer's first word, as the original does.

A prompt ends with a single ``▁``, so the first token of most answers begins with a space. Token
counts, token ids and logprobs do not change.
"""

from contextlib import aclosing

from vllm.sampling_params import RequestOutputKind, SamplingParams

from service.engine.admission import Answer
from service.request_context import current_request

COMPLETION_ID = "cmpl-"
"""Prefix of vLLM's ids for text completions, whose text continues the client's text exactly."""


def has_leading_space_stripped(params: SamplingParams, request_id: str) -> bool:
    """Whether the space before this answer is to be stripped.

    The space stays if the answer continues the client's text, or if a grammar determines each
    character.
    """
    if request_id.startswith(COMPLETION_ID) or current_request().continues_text:
        return False
    return params.structured_outputs is None and params.detokenize


async def strip_leading_space(answer: Answer, kind: RequestOutputKind) -> Answer:
    """``answer`` with the white space before each choice's first word removed from its text.

    Args:
        answer: The engine's outputs.
        kind: Whether an output's text is only the new text or the whole text so far.
    """
    begun: set[int] = set()
    async with aclosing(answer):
        async for output in answer:
            for choice in output.outputs:
                if kind is not RequestOutputKind.DELTA or choice.index not in begun:
                    choice.text = choice.text.lstrip()
                if choice.text:
                    begun.add(choice.index)
            yield output
