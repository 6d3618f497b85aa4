"""Answers without the white space before their first word, as the original strips them.

The prompts end in a lone ``▁``, so the first token of most answers begins with a space. Token counts, token ids
and logprobs stay as the engine gives them.
"""

from contextlib import aclosing

from vllm.sampling_params import RequestOutputKind, SamplingParams

from service.engine.admission import Answer
from service.request_context import current_request

COMPLETION_ID = "cmpl-"
"""How vLLM's ids of text completions begin: their text continues the client's, to the letter."""


def has_leading_space_stripped(params: SamplingParams, request_id: str) -> bool:
    """Whether the space before this answer is to be stripped.

    It stays where the answer continues a text of the client's, and where a grammar says what every character is.
    """
    if request_id.startswith(COMPLETION_ID) or current_request().continues_text:
        return False
    return params.structured_outputs is None and params.detokenize


async def strip_leading_space(answer: Answer, kind: RequestOutputKind) -> Answer:
    """``answer`` with the white space before each choice's first word removed from its text.

    Args:
        answer: The engine's outputs.
        kind: Whether an output's text is what is new or everything so far.
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
