"""Checks of structured output before a stream begins.

vLLM validates a schema when it adds the request to the engine. For a stream, this is after the
status 200.
"""

import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress

from vllm.exceptions import VLLMError
from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM

from service.plugin.errors import BadRequestError

MAX_CHARACTERS = 65_536
"""Maximum length of a JSON schema, regex, grammar or list of choices. OpenAI's limit is of this
order."""

MAX_COUNT = 65_536
"""Maximum number of repetitions in a schema, regex or grammar. A grammar library allocates memory
for each repetition, and ends the process if the allocation fails."""

COUNTS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
    | {"minContains", "maxContains"}
)
REPETITION = re.compile(r"\{\s*+(\d*+)\s*+,?\s*+(\d*+)\s*+\}")
"""The quantifiers are possessive. With backtracking, a few hundred blanks take minutes, and no
request is served meanwhile."""

PARAMETER = "response_format"


def check_constraints(engine: AsyncLLM, params: SamplingParams) -> None:
    """Raise :class:`BadRequestError` for invalid, too large or unsupported structured output."""
    constraint = params.structured_outputs
    if constraint is None:
        return
    for wanted in (
        constraint.json,
        constraint.regex,
        constraint.grammar,
        constraint.choice,
        constraint.structural_tag,
    ):
        text = wanted if isinstance(wanted, str) else json.dumps(wanted)
        if len(text) > MAX_CHARACTERS:
            raise BadRequestError(
                f"The schema or grammar has more than {MAX_CHARACTERS} characters.",
                parameter=PARAMETER,
            )
    if _repeats_too_often(constraint):
        raise BadRequestError(
            f"The schema or grammar repeats something more than {MAX_COUNT} times.",
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
            "The response's schema, regex, grammar or choice is invalid, or needs a feature that "
            "is not supported.",
            parameter=PARAMETER,
        ) from error


async def refuse_dead_ends(
    answer: AsyncGenerator[RequestOutput, None],
) -> AsyncGenerator[RequestOutput, None]:
    """Yield ``answer``; raise :class:`BadRequestError` if the grammar allows no token.

    A grammar can be well-formed and still allow nothing, for example with a rule that only refers
    to itself.
    """
    async with aclosing(answer):
        async for output in answer:
            if any(choice.finish_reason == "error" for choice in output.outputs):
                raise BadRequestError(
                    "No text fits the response's schema, regex, grammar or choice.",
                    parameter=PARAMETER,
                )
            yield output


def _repeats_too_often(constraint: StructuredOutputsParams) -> bool:
    texts = [constraint.regex, constraint.grammar]
    for source in (constraint.json, constraint.structural_tag):
        schema = source
        with suppress(ValueError, RecursionError):  # the grammar library reports the error later
            schema = json.loads(source) if isinstance(source, str) else source
        texts.append(json.dumps(schema))
        if any(count > MAX_COUNT for count in _counts(schema)):
            return True
    numbers = (number for text in texts if text for number in _repetitions(text))
    return any(len(number) > 9 or int(number) > MAX_COUNT for number in numbers if number)


def _repetitions(text: str) -> Iterator[str]:
    """Yield the numbers of ``{n}`` and ``{n,m}`` in a regex or grammar."""
    for match in REPETITION.finditer(text):
        yield from match.groups()


def _counts(schema: object) -> Iterator[float]:
    """Yield the counts in a JSON schema, at any depth."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            for name in COUNTS & node.keys():
                if isinstance(node[name], (int, float)):
                    yield node[name]
