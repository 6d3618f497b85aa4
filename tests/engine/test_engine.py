"""The engine folder: flags, stop strings, translated errors."""

import json
from collections.abc import Callable

import pytest
from pydantic import TypeAdapter, ValidationError
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response

from service import errors
from service.engine.flags import vllm_flags
from service.model_folder.layout import ModelFolder
from service.plugin.errors import translate_errors
from service.settings import load_settings


@pytest.fixture
def folder(tiny_model: Callable[[str], ModelFolder]) -> ModelFolder:
    return tiny_model("minigpt4-vicuna")


def flags(folder: ModelFolder, *user: str, cpu: bool = False) -> dict[str, str]:
    """The last value of each flag, as argparse takes it."""
    words = vllm_flags(folder, load_settings(), "name", list(user), cpu)
    return {word: words[index + 1] for index, word in enumerate(words[:-1]) if word[:2] == "--"}


def test_flags_name_the_parts_of_the_folder(folder: ModelFolder) -> None:
    given = flags(folder)
    assert given["--model"] == folder.language_model
    assert given["--tokenizer"] == str(folder.tokenizer)
    overrides = json.loads(given["--hf-overrides"])
    assert overrides["minigpt4"] == {
        "model_folder": str(folder.root),
        "visual_tokens": 32,
        "architecture": "LlamaForCausalLM",
    }


def test_a_users_flags_have_precedence(folder: ModelFolder) -> None:
    assert flags(folder, "--shutdown-timeout", "5")["--shutdown-timeout"] == "5"
    assert flags(folder, cpu=True)["--block-size"] == "32"
    assert flags(folder, "--block-size", "64", cpu=True)["--block-size"] == "64"


@pytest.mark.parametrize(
    "given",
    [
        ["--shutdown-timeout", "5"],
        ["--shutdown_timeout=5"],
        ["--no-enforce-eager"],
        ["--hf-overrides", "{}"],
        ["--model=x"],
    ],
)
def test_no_flag_is_duplicated(folder: ModelFolder, given: list[str]) -> None:
    words = vllm_flags(folder, load_settings(), "name", given, cpu=True)
    names = [
        word.partition("=")[0].replace("_", "-").replace("--no-", "--")
        for word in words
        if word.startswith("--")
    ]
    assert len(names) == len(set(names))
    assert words[-1] == given[-1] or "--hf-overrides" in given


@pytest.mark.parametrize("form", [["--hf-overrides", '{"a": 1}'], ['--hf_overrides={"a": 1}']])
def test_a_users_overrides_are_added_to_ours(folder: ModelFolder, form: list[str]) -> None:
    overrides = json.loads(flags(folder, *form)["--hf-overrides"])
    assert overrides["a"] == 1
    assert overrides["architectures"] == ["MiniGPT4ForCausalLM"]


def test_overrides_must_be_json(folder: ModelFolder) -> None:
    with pytest.raises(errors.SettingsError, match="JSON"):
        flags(folder, "--hf-overrides", "{")


@pytest.mark.parametrize(
    ("error", "status", "parameter"),
    [
        (errors.ImageFormatError("no image"), 400, "image_url"),
        (errors.ImageTooLargeError("no image"), 400, "image_url"),
        (errors.ImageSourceError("no image"), 400, "image_url"),
        (errors.ImageFetchError("no image"), 422, "image_url"),
        (errors.EncoderOverloadedError("no image"), 503, None),
        (errors.FetchingOverloadedError("no image"), 503, None),
        (errors.EncoderNotReadyError("no image"), 503, None),
        (errors.EncodingError("no image"), 500, None),
    ],
)
def test_our_errors_reach_the_client_as_they_are_written(
    error: errors.ServiceError, status: int, parameter: str | None
) -> None:
    with pytest.raises(Exception, match="no image") as raised, translate_errors():
        raise error
    response = create_error_response(raised.value).error
    assert response.code == status
    assert response.param == parameter
    assert response.message == "no image"


def test_pydantics_text_does_not_reach_the_client() -> None:
    with (
        pytest.raises(Exception, match=r"must be an integer") as raised,
        translate_errors(),
    ):
        TypeAdapter(int).validate_python("x")
    assert isinstance(raised.value.__cause__, ValidationError)
    assert create_error_response(raised.value).error.param == "messages.content"
