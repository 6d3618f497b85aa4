"""Language models in 4 bits answer on a CPU as their dequantised weights do in transformers."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from service.model_folder.layout import ModelFolder
from tests.end_to_end.reference import Reference, Turn
from tests.end_to_end.test_answers import messages
from tests.pictures import picture
from tests.quantised import read_dequantised, write_awq, write_gptq
from tests.server import ServerProcess

TOKENS = 12
ROUNDING = 0.05
"""Mean error of a token's log probability: the engine computes in bfloat16."""

TURNS = [Turn("What is this?", (picture("red"),))]


@pytest.fixture(scope="module", params=[write_gptq, write_awq], ids=["gptq", "awq"])
def folder(
    request: pytest.FixtureRequest,
    tiny_model: Callable[[str], ModelFolder],
    tmp_path_factory: pytest.TempPathFactory,
) -> ModelFolder:
    plain = tiny_model("minigpt4-vicuna")
    root = tmp_path_factory.mktemp("quantised") / "model"
    shutil.copytree(plain.root, root)
    target = Path(ModelFolder.open(root).language_model)
    shutil.rmtree(target)
    request.param(Path(plain.language_model), target)
    return ModelFolder.open(root)


@pytest.fixture(scope="module")
def service(folder: ModelFolder) -> Iterator[ServerProcess]:
    flags = ["--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "512"]
    process = ServerProcess(folder.root, flags)
    try:
        yield process.start()
    finally:
        process.stop()


@torch.inference_mode()
def _log_probabilities(reference: Reference, tokens: list[int]) -> torch.Tensor:
    """``[tokens, vocabulary]``, each after the prompt and the tokens before it."""
    prompt = reference.embed(TURNS)
    answer = reference.llama.get_input_embeddings()(torch.tensor(tokens))
    logits = reference.llama(inputs_embeds=torch.cat([prompt, answer])[None]).logits[0]
    return logits[len(prompt) - 1 : -1].log_softmax(-1)


def test_the_tokens_are_those_of_the_dequantised_weights(
    folder: ModelFolder, service: ServerProcess, tiny_model: Callable[[str], ModelFolder]
) -> None:
    answer = service.openai().chat.completions.create(
        model=service.openai().models.list().data[0].id,
        messages=messages(TURNS),  # type: ignore[arg-type]
        temperature=0,
        max_tokens=TOKENS,
        logprobs=True,
        extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
    )
    tokens: list[int] = answer.choices[0].token_ids  # type: ignore[attr-defined]
    logprobs: Any = answer.choices[0].logprobs
    told = torch.tensor([token.logprob for token in logprobs.content])
    plain = Reference(tiny_model("minigpt4-vicuna"))
    before = _log_probabilities(plain, tokens)
    llama: LlamaForCausalLM = plain.llama
    llama.load_state_dict(read_dequantised(Path(folder.language_model)))
    expected = _log_probabilities(plain, tokens)
    near, far = (_error(wanted, tokens, told) for wanted in (expected, before))
    assert near < ROUNDING
    assert near < far / 4, (near, far)
    assert _error(expected, expected.argmax(1).tolist(), told) < ROUNDING


def _error(expected: torch.Tensor, tokens: list[int], told: torch.Tensor) -> float:
    chosen = expected.gather(1, torch.tensor(tokens)[:, None])[:, 0]
    return float((chosen - told).abs().mean())
