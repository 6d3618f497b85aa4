"""Answers by beam search, for all routes that offer it, one engine request for each step."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

from vllm.exceptions import VLLMValidationError
from vllm.inputs import TokensInput, mm_input, tokens_input
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import BeamSearchParams, SamplingParams
from vllm.utils.async_utils import collect_from_async_generator

from service.engine.beams import Beam, BeamSearch, End
from service.engine.client import Engine
from service.engine.leading_space import COMPLETION_ID
from service.plugin.errors import BadRequestError
from service.request_context import current_request

CONTEXT_TOKENS = 8
"""Tokens before a text that say whether it begins with a space."""


class Handler(Protocol):
    """vLLM's handler of a route."""

    engine_client: Engine


async def beam_search(
    handler: Handler,
    prompt: Any,
    request_id: str,
    params: BeamSearchParams,
    lora_request: Any = None,
    trace_headers: Any = None,
    session_id: str | None = None,
) -> AsyncGenerator[RequestOutput, None]:
    """Replace vLLM's method of the same name, whose beams end at the end-of-sequence token only.

    Raises:
        BadRequestError: more beams than the engine gives log-probabilities for.
    """
    engine = handler.engine_client
    engine.input_processor.resolve_watermarking(params)
    texts = _Texts(engine, prompt["prompt_token_ids"], params)
    search = BeamSearch(params.beam_width, params.max_tokens, params.length_penalty, texts.find_end)
    _check_width(engine, search)
    step = SamplingParams(
        logprobs=search.candidates,
        max_tokens=1,
        temperature=0.0,
        watermarking=False,
        detokenize=False,
        ignore_eos=params.ignore_eos,
    )
    options = {
        "lora_request": lora_request,
        "trace_headers": trace_headers,
        "session_id": session_id,
    }
    number = 0
    while not search.is_over:
        outputs = await asyncio.gather(
            *(
                collect_from_async_generator(
                    engine.generate(
                        _continue(prompt, beam),
                        step,
                        f"{request_id}-{number}-beam-{index}",
                        **options,
                    )
                )
                for index, beam in enumerate(search.running)
            )
        )
        number += 1
        choices = [output[0].outputs[0] for output in outputs]
        if failed := [choice for choice in choices if choice.finish_reason in ("error", "abort")]:
            yield _finish(request_id, prompt, [_failure(failed[0].finish_reason)])
            return
        search.advance([_first_token(choice) for choice in choices])
    strips = not request_id.startswith(COMPLETION_ID) and not current_request().continues_text
    answers = [texts.write(index, beam, strips) for index, beam in enumerate(search.ended)]
    yield _finish(request_id, prompt, answers)


class _Texts:
    """The texts of one prompt's beams."""

    def __init__(
        self, engine: Engine, prompt_tokens: Sequence[int], params: BeamSearchParams
    ) -> None:
        self._tokenizer = engine.get_tokenizer()
        self._context = list(prompt_tokens[-CONTEXT_TOKENS:])
        self._params = params
        own = current_request().beam_stop
        family = () if params.ignore_eos else engine.family_stop
        self._own_stop = own
        self._stops = (*own, *(text for text in family if text not in own))
        self._window = max(map(len, self._stops), default=0) + CONTEXT_TOKENS

    def find_end(self, tokens: Sequence[int]) -> End | None:
        """Look for the end-of-sequence token and for stop strings in the newest text."""
        if tokens[-1] == self._tokenizer.eos_token_id and not self._params.ignore_eos:
            return End("stop")
        if not self._stops:
            return None
        tail = self._tokenizer.decode(list(tokens[-self._window :]), skip_special_tokens=True)
        found = [text for text in self._stops if text in tail]
        if not found:
            return None
        own = [text for text in found if text in self._own_stop]
        return End("stop", own[0] if own else None)

    def write(self, index: int, beam: Beam, strips: bool) -> CompletionOutput:
        """The output of an ended beam, with its text cut at its end."""
        assert beam.end is not None
        text = self._decode(beam.tokens)
        positions = [(text.find(stop), stop) for stop in self._stops if stop in text]
        if positions and beam.end.reason == "stop":
            position, stop = min(positions)
            text = text[: position + len(stop) * self._params.include_stop_str_in_output]
        return CompletionOutput(
            index=index,
            text=text.lstrip() if strips else text,
            token_ids=list(beam.tokens),
            cumulative_logprob=beam.score,
            logprobs=list(beam.logprobs),
            finish_reason=beam.end.reason,
            stop_reason=beam.end.stop,
        )

    def _decode(self, tokens: Sequence[int]) -> str:
        """Decode after the prompt's last tokens: at a text's start, a space would be dropped."""
        skip = self._params.skip_special_tokens
        before = self._tokenizer.decode(self._context, skip_special_tokens=skip)
        whole = self._tokenizer.decode([*self._context, *tokens], skip_special_tokens=skip)
        if whole.startswith(before):
            return whole[len(before) :]
        return self._tokenizer.decode(list(tokens), skip_special_tokens=skip)


def _first_token(choice: CompletionOutput) -> Mapping[int, Any]:
    """The likeliest tokens at the only position of a step."""
    assert choice.logprobs, "a step of a beam search came without log-probabilities: this is a bug"
    return choice.logprobs[0]


def _check_width(engine: Engine, search: BeamSearch) -> None:
    most = engine.model_config.max_logprobs
    if 0 <= most < search.candidates:
        raise BadRequestError(
            f"Beam search takes at most {most // 2} beams (half of --max-logprobs).", parameter="n"
        )


def _continue(prompt: Any, beam: Beam) -> TokensInput | Any:
    """``prompt`` with the beam's tokens behind it; its images stay where they are."""
    tokens = [*prompt["prompt_token_ids"], *beam.tokens]
    salt, text = prompt.get("cache_salt"), prompt.get("prompt")
    if prompt["type"] == "token":
        return tokens_input(tokens, prompt=text, cache_salt=salt)
    if prompt["type"] != "multimodal":
        raise VLLMValidationError("Beam search cannot continue this prompt.", parameter="prompt")
    return mm_input(
        prompt_token_ids=tokens,
        mm_kwargs=prompt["mm_kwargs"],
        mm_hashes=prompt["mm_hashes"],
        mm_placeholders=prompt["mm_placeholders"],
        prompt=text,
        cache_salt=salt,
    )


def _failure(reason: str | None) -> CompletionOutput:
    return CompletionOutput(
        index=0, text="", token_ids=[], cumulative_logprob=None, logprobs=None, finish_reason=reason
    )


def _finish(request_id: str, prompt: Any, outputs: list[CompletionOutput]) -> RequestOutput:
    return RequestOutput(
        request_id=request_id,
        prompt=prompt.get("prompt"),
        prompt_token_ids=prompt["prompt_token_ids"],
        prompt_logprobs=None,
        outputs=outputs,
        finished=True,
    )
