"""Speculative decoding gives the same greedy answers; ``/metrics`` shows the acceptance."""

from collections.abc import Callable, Iterator
from json import dumps
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from transformers import AutoTokenizer

from service.model_folder.layout import ModelFolder
from tests.end_to_end.reference import Reference, Turn, vicuna_prompt
from tests.end_to_end.test_answers import messages
from tests.heads import train_eagle, write_eagle3
from tests.pictures import picture
from tests.server import ServerProcess

TOKENS = 24
DRAFTED = 3
CONVERSATIONS = [
    [Turn("What is this?", (picture("red"),))],
    [Turn("Hello hello hello hello!")],
    [Turn("What is this?", (picture("red"),), "A red circle."), Turn("Where is it? Where?")],
]
METHODS = ("ngram", "draft_model", "eagle", "eagle3")


def configure(method: str, model: ModelFolder, folder: Path) -> dict[str, Any]:
    """vLLM's ``--speculative-config``; heads are made in ``folder``."""
    language_model = Path(model.language_model)
    config: dict[str, Any] = {"method": method, "num_speculative_tokens": DRAFTED}
    match method:
        case "ngram":
            return {**config, "prompt_lookup_max": 3}
        case "draft_model":
            return {**config, "model": str(language_model)}
        case "eagle":
            tokenizer = AutoTokenizer.from_pretrained(model.tokenizer)
            prompt = tokenizer(vicuna_prompt(CONVERSATIONS[1]), add_special_tokens=True).input_ids
            assert train_eagle(language_model, folder, prompt) > 0.9
        case "eagle3":
            write_eagle3(language_model, folder)
    return {**config, "model": str(folder)}


@pytest.fixture(scope="module")
def folder(tiny_model: Callable[[str], ModelFolder]) -> ModelFolder:
    return tiny_model("minigpt4-vicuna")


@pytest.fixture(scope="module", params=METHODS)
def server(
    request: pytest.FixtureRequest,
    folder: ModelFolder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServerProcess]:
    head = tmp_path_factory.mktemp("heads") / request.param
    config = configure(request.param, folder, head)
    flags = ["--dtype", "float32", "--max-model-len", "1024", "--speculative-config", dumps(config)]
    process = ServerProcess(folder.root, flags, {"METHOD": request.param})
    try:
        yield process.start()
    finally:
        process.stop()


def ask(client: OpenAI, turns: list[Turn], **options: Any) -> Any:
    return client.chat.completions.create(
        model="minigpt4-vicuna",
        messages=messages(turns),  # type: ignore[arg-type]
        max_tokens=TOKENS,
        extra_body={"repetition_penalty": 1.0, "return_token_ids": True},
        **options,
    )


def test_greedy_answers_are_the_same_and_accepted_tokens_are_counted(
    server: ServerProcess, folder: ModelFolder
) -> None:
    client, reference = server.openai(), Reference(folder)
    for turns in CONVERSATIONS:
        choice = ask(client, turns, temperature=0).choices[0]
        assert choice.token_ids == reference.answer(turns, TOKENS)
    if server.environment["METHOD"] == "ngram":
        return  # a random model repeats nothing
    drafted = server.metric("vllm:spec_decode_num_draft_tokens_total")
    accepted = server.metric("vllm:spec_decode_num_accepted_tokens_total")
    assert drafted > 0
    if server.environment["METHOD"] in ("draft_model", "eagle"):
        assert accepted > 0


def test_top_p_is_sampled_with_drafted_tokens(server: ServerProcess) -> None:
    client = server.openai()
    answers = {
        tuple(ask(client, CONVERSATIONS[0], temperature=1.0, top_p=0.9).choices[0].token_ids)
        for _ in range(3)
    }
    assert len(answers) > 1
