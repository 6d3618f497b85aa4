"""Beam search equals transformers' ``generate``: beams, scores and order."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from service.engine.beams import BeamSearch, End
from service.model_folder.layout import ModelFolder

TOKENS = 10


class Likely(NamedTuple):
    logprob: float


class Model:
    """A tiny Llama and its tokenizer, which give the likeliest next tokens like the engine."""

    def __init__(self, folder: ModelFolder) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder.tokenizer)
        # Any: the type of generate's output depends on its arguments.
        self.llama: Any = LlamaForCausalLM.from_pretrained(
            folder.language_model, dtype=torch.float32
        )

    @torch.inference_mode()
    def likeliest(self, tokens: Sequence[int], count: int) -> dict[int, Likely]:
        logits = self.llama(torch.tensor([list(tokens)])).logits[0, -1]
        values, ids = torch.log_softmax(logits.float(), -1).topk(count)
        return {int(token): Likely(float(value)) for token, value in zip(ids, values, strict=True)}


@pytest.fixture(scope="module")
def model(tiny_model: Callable[[str], ModelFolder]) -> Model:
    return Model(tiny_model("minigpt4-vicuna"))


def search(
    model: Model, prompt: list[int], width: int, penalty: float, stop: str
) -> list[tuple[list[int], float]]:
    def find_end(tokens: Sequence[int]) -> End | None:
        if tokens[-1] == model.tokenizer.eos_token_id:
            return End("stop")
        text = model.tokenizer.decode(list(tokens)) if stop else ""
        return End("stop") if stop and stop in text else None

    beams = BeamSearch(width, TOKENS, penalty, find_end)
    while not beams.is_over:
        beams.advance(
            [model.likeliest([*prompt, *beam.tokens], beams.candidates) for beam in beams.running]
        )
    return [(cut_end(list(beam.tokens)), beam.score) for beam in beams.ended]


def cut_end(tokens: list[int]) -> list[int]:
    """Drop ends of sequence: ``generate`` pads shorter beams with them."""
    while tokens and tokens[-1] in (0, 2):
        tokens = tokens[:-1]
    return tokens


def generate(
    model: Model, prompt: list[int], width: int, penalty: float, stop: str
) -> list[tuple[list[int], float]]:
    output = model.llama.generate(
        torch.tensor([prompt]),
        max_new_tokens=TOKENS,
        num_beams=width,
        num_return_sequences=width,
        length_penalty=penalty,
        do_sample=False,
        early_stopping=False,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
        **({"stop_strings": [stop], "tokenizer": model.tokenizer} if stop else {}),
    )
    beams = []
    for tokens, score in zip(output.sequences, output.sequences_scores, strict=True):
        beams.append((cut_end(tokens[len(prompt) :].tolist()), float(score)))
    return beams


def common_piece(model: Model, prompt: list[int]) -> str:
    """A piece of text that several beams come to, so that it can end them."""
    best = search(model, prompt, 2, 1.0, "")[0][0]
    return str(model.tokenizer.decode(best[:4])).strip()[-3:]


@pytest.mark.parametrize("stops", [False, True], ids=["to the length", "with a stop string"])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("width", [2, 5])
def test_beams_and_scores_equal_those_of_generate(
    model: Model, width: int, penalty: float, stops: bool
) -> None:
    prompt = model.tokenizer.encode("What is this?")
    stop = common_piece(model, prompt) if stops else ""
    expected = generate(model, prompt, width, penalty, stop)
    found = search(model, prompt, width, penalty, stop)
    assert [tokens for tokens, _ in found] == [tokens for tokens, _ in expected]
    assert [score for _, score in found] == pytest.approx([s for _, s in expected], abs=1e-4)
    if stops and not penalty:  # a penalty by the length prefers longer beams
        assert any(len(tokens) < TOKENS for tokens, _ in found), "the stop string must matter"


def test_one_beam_is_the_greedy_answer(model: Model) -> None:
    prompt = model.tokenizer.encode("Hello!")
    greedy = model.llama.generate(
        torch.tensor([prompt]), max_new_tokens=TOKENS, do_sample=False, pad_token_id=0
    )
    assert search(model, prompt, 1, 1.0, "")[0][0] == greedy[0, len(prompt) :].tolist()
