"""The flags of ``serve`` and their help."""

import argparse
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.serve.arguments import (
    FIRST,
    GROUPS,
    add_arguments,
    given_settings,
    given_vllm_flags,
)
from service.settings import Settings, load_settings


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    return parser


def test_each_setting_has_a_flag_in_a_group_with_its_default(
    parser: argparse.ArgumentParser,
) -> None:
    groups = {
        action.dest: (group.title, action.help)
        for group in parser._action_groups
        for action in group._group_actions
    }
    for name in Settings.model_fields:
        title, text = groups[f"setting_{name}"]
        assert title in GROUPS
        assert text is not None
        assert "Default: " in text


def test_the_first_group_is_short_and_begins_with_the_model(
    parser: argparse.ArgumentParser,
) -> None:
    group = next(group for group in parser._action_groups if group.title == FIRST)
    flags = [action.option_strings[0] for action in group._group_actions]
    assert flags[:3] == ["--model", "--host", "--port"]
    assert len(flags) <= 12
    assert parser.format_help().index(FIRST) < parser.format_help().index("vision encoder:")


def test_flags_go_where_they_belong(parser: argparse.ArgumentParser) -> None:
    words = ["--port", "9", "--encoder-queue", "3", "--dtype", "float32", "--enforce-eager"]
    arguments, unknown = parser.parse_known_args(words)
    arguments.vllm_flags = unknown
    assert given_settings(arguments) == {"encoder_queue": "3"}
    assert given_vllm_flags(arguments) == ["--enforce-eager", "--port", "9", "--dtype", "float32"]


def test_projections_are_given_one_by_one_or_together(parser: argparse.ArgumentParser) -> None:
    words = ["--projection", "a=b/c.safetensors", "--projection", "d=e=f"]
    given = given_settings(parser.parse_args(words))
    assert given == {"projections": {"a": "b/c.safetensors", "d": "e=f"}}
    with pytest.raises(SettingsError, match="not both"):
        given_settings(parser.parse_args([*words, "--projections", "{}"]))


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        ("--adapter-keys", '["operator"]', frozenset({"operator"})),
        (
            "--image-allowed-hosts",
            '["a.example", "b.example"]',
            frozenset({"a.example", "b.example"}),
        ),
        ("--projections", '{"a": "b.pth"}', {"a": Path("b.pth")}),
    ],
)
def test_lists_and_objects_are_read_as_json(
    flag: str, text: str, value: object, parser: argparse.ArgumentParser
) -> None:
    settings = load_settings(None, **given_settings(parser.parse_args([flag, text])))
    assert getattr(settings, flag[2:].replace("-", "_")) == value
    with pytest.raises(SettingsError, match="'operator' is not JSON"):
        load_settings(None, **given_settings(parser.parse_args([flag, "operator"])))


@pytest.mark.parametrize("text", ["a", "=b", "a=", ""])
def test_a_projection_without_a_name_or_a_file_is_refused(
    text: str, parser: argparse.ArgumentParser
) -> None:
    with pytest.raises(SettingsError, match="NAME=FILE"):
        given_settings(parser.parse_args([f"--projection={text}"]))


@pytest.mark.parametrize("port", ["abc", "99999", "-1", "80.0", ""])
def test_a_wrong_port_is_named(
    port: str, parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args([f"--port={port}"])
    assert f"argument --port: {port!r} is not a port" in capsys.readouterr().err
