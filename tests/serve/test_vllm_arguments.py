"""vLLM's flags beside the service's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.model_folder.layout import ModelFolder
from service.serve.vllm_arguments import parse_vllm_flags
from service.settings import load_settings


@pytest.fixture
def folder(tiny_model: Callable[[str], ModelFolder]) -> ModelFolder:
    return tiny_model("minigpt4-vicuna")


@pytest.mark.parametrize(
    "flags",
    [
        ["--uds", "/tmp/socket"],
        ["--grpc"],
        ["--enable-ssl-refresh"],
        ["--headless"],
        ["--h11-max-header-count", "9"],
        ["--h11-max-incomplete-event-size=9"],
        ["--tokens-only"],
        ["--enable-offline-docs"],
    ],
)
def test_flags_that_would_do_nothing_are_refused(folder: ModelFolder, flags: list[str]) -> None:
    with pytest.raises(SettingsError, match=f"{flags[0].partition('=')[0]} is not served"):
        parse_vllm_flags(folder, load_settings(), flags)


@pytest.mark.parametrize(
    "flags", [["--tokenizer-mode", "slow"], ["--mm-processor-cache-gb=4"]], ids=str
)
def test_flags_with_one_possible_value_are_refused_with_another(
    folder: ModelFolder, flags: list[str]
) -> None:
    with pytest.raises(SettingsError, match="can only be"):
        parse_vllm_flags(folder, load_settings(), flags)


def test_automatic_tool_calls_need_a_parser(folder: ModelFolder) -> None:
    automatic = ["--enable-auto-tool-choice"]
    with pytest.raises(SettingsError, match="--tool-call-parser"):
        parse_vllm_flags(folder, load_settings(), automatic)
    arguments = parse_vllm_flags(
        folder, load_settings(), [*automatic, "--tool-call-parser", "hermes"]
    )
    assert arguments.tool_call_parser == "hermes"


@pytest.mark.parametrize("form", ["--config {}", "--config={}"])
def test_a_config_file_wins_over_our_defaults_and_flags_over_it(
    folder: ModelFolder, tmp_path: Path, form: str
) -> None:
    file = tmp_path / "vllm.yaml"
    file.write_text(
        "shutdown-timeout: 7\nmax_num_queued_reqs: 9\nport: 1234\nenforce-eager: false\n"
    )
    flags = [*form.format(file).split(), "--port", "4321"]
    arguments = parse_vllm_flags(folder, load_settings(), flags)
    assert arguments.shutdown_timeout == 7
    assert arguments.max_num_queued_reqs == 9
    assert arguments.port == 4321
    assert arguments.enforce_eager is False
    assert arguments.model == folder.language_model


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot be read"), ("a: [", "cannot be read"), ("model: x", "--model")],
)
def test_a_config_file_that_cannot_be_used_is_one_line(
    folder: ModelFolder, tmp_path: Path, text: str | None, words: str
) -> None:
    file = tmp_path / "vllm.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=words):
        parse_vllm_flags(folder, load_settings(), ["--config", str(file)])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-num-seqs", "many"], "--max-num-seqs: invalid"),
        (["--load-format"], "--load-format: expected one argument"),
        (["--enforce-eager", "word"], "'word' does not belong to a flag"),
    ],
)
def test_a_wrong_value_is_one_line(folder: ModelFolder, flags: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_vllm_flags(folder, load_settings(), flags)
    assert message in str(refused.value)
    assert "usage:" not in str(refused.value)
