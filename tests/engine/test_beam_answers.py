"""Answers by beam search with a scripted engine: their ends and their texts."""

from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.exceptions import VLLMError
from vllm.logprobs import Logprob
from vllm.sampling_params import BeamSearchParams

from service.engine.beam_answers import beam_search
from service.request_context import RequestContext, enter_request, leave_request

END, PAD = 2, 9
WORDS = {3: " A", 4: " dog", 5: " ###", 6: "Human", 7: " cat", 8: "#", PAD: " and"}
PROMPT = [1]


class Tokenizer:
    """One word a token."""

    eos_token_id = END

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = True) -> str:
        return "".join(WORDS.get(token, "") for token in tokens)


class Engine:
    """Gives each sequence the likeliest tokens that a script says; any other gets a pad."""

    family_stop = ("###",)
    model_config = SimpleNamespace(max_logprobs=20)
    input_processor = SimpleNamespace(resolve_watermarking=lambda _: None)

    def __init__(
        self, script: dict[tuple[int, ...], dict[int, float]], end: str = "length"
    ) -> None:
        self.script, self.end = script, end

    def get_tokenizer(self) -> Tokenizer:
        return Tokenizer()

    async def generate(self, prompt: Any, *_: Any, **__: Any) -> AsyncGenerator[Any, None]:
        answer = tuple(prompt["prompt_token_ids"][len(PROMPT) :])
        likely = self.script.get(answer, {PAD: -9.0})
        logprobs = [{token: Logprob(value) for token, value in likely.items()}]
        yield SimpleNamespace(outputs=[SimpleNamespace(logprobs=logprobs, finish_reason=self.end)])


async def answer(
    engine: Engine, width: int = 2, request_id: str = "chatcmpl-1", **given: Any
) -> Any:
    handler: Any = SimpleNamespace(engine_client=engine)
    prompt = {"type": "token", "prompt_token_ids": PROMPT}
    params = BeamSearchParams(beam_width=width, max_tokens=6, **given)
    outputs = [output async for output in beam_search(handler, prompt, request_id, params)]
    assert len(outputs) == 1
    return outputs[0].outputs


DOG = {
    (): {3: -0.1, 7: -3.0},
    (3,): {4: -0.1, 7: -2.0},
    (3, 4): {5: -0.1, END: -3.0},
    (3, 4, 5): {6: -0.1},
}


async def test_a_beam_ends_at_the_familys_end_mark_with_the_text_cut_there() -> None:
    best, second = await answer(Engine(DOG))
    assert (best.text, best.finish_reason, best.stop_reason) == ("A dog ", "stop", None)
    assert (second.text, second.finish_reason) == ("A dog", "stop")
    assert best.token_ids == [3, 4, 5], "as with every answer, the tokens of the end are counted"


async def test_an_end_mark_of_several_tokens_ends_a_beam() -> None:
    script = {(): {3: -0.1}, (3,): {8: -0.1}, (3, 8): {8: -0.1}, (3, 8, 8): {8: -0.1}}
    best = (await answer(Engine(script), width=1))[0]
    assert (best.text, len(best.token_ids)) == ("A", 4)


async def test_a_clients_own_stop_string_is_named() -> None:
    token = enter_request(RequestContext(beam_stop=(" dog",)))
    best = (await answer(Engine(DOG)))[0]
    leave_request(token)
    assert (best.text, best.stop_reason) == ("A", " dog")


async def test_a_text_completion_keeps_its_first_space() -> None:
    best = (await answer(Engine(DOG), request_id="cmpl-1"))[0]
    assert best.text == " A dog "


async def test_ignoring_the_end_goes_on_to_the_length() -> None:
    best = (await answer(Engine(DOG), width=1, ignore_eos=True))[0]
    assert best.finish_reason == "length"
    assert "###Human" in best.text


@pytest.mark.parametrize("reason", ["error", "abort"])
async def test_a_step_that_fails_ends_the_search(reason: str) -> None:
    (only,) = await answer(Engine(DOG, reason))
    assert (only.finish_reason, only.text) == (reason, "")


async def test_more_beams_than_log_probabilities_are_refused() -> None:
    with pytest.raises(VLLMError, match="at most 10 beams"):
        await answer(Engine(DOG), width=11)
