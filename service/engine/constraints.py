"""What a request may ask of structured output, checked before its stream begins.

vLLM validates a schema when the engine takes the request, which for a stream is after the status 200.
"""

import json

from vllm.exceptions import VLLMError
from vllm.sampling_params import SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM

from service.engine.errors import BadRequestError

MAX_CHARACTERS = 65_536
"""Length of a JSON schema, regex, grammar or list of choices; OpenAI's own limit is of this order."""

PARAMETER = "response_format"


def check_constraints(engine: AsyncLLM, params: SamplingParams) -> None:
    """Raise :class:`BadRequestError` for structured output that cannot be had."""
    constraint = params.structured_outputs
    if constraint is None:
        return
    for wanted in (constraint.json, constraint.regex, constraint.grammar, constraint.choice):
        text = wanted if isinstance(wanted, str) else json.dumps(wanted)
        if len(text) > MAX_CHARACTERS:
            raise BadRequestError(
                f"The schema or grammar has more than {MAX_CHARACTERS} characters.",
                parameter=PARAMETER,
            )
    try:
        params.clone().verify(
            engine.model_config,
            engine.vllm_config.speculative_config,
            engine.vllm_config.structured_outputs_config,
            engine.get_tokenizer(),
        )
    except (VLLMError, ValueError, RuntimeError, RecursionError) as error:
        raise BadRequestError(
            "The response's schema, regex, grammar or choice is invalid, or needs a feature that is "
            "not supported.",
            parameter=PARAMETER,
        ) from error
