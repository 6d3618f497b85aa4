"""Settings: their precedence, and wrong values."""

from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import Settings, load_settings


def test_command_line_over_environment_over_file_over_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("encoder_queue = 1\nencoder_max_batch = 1\nimages_per_prompt = 1\n")
    monkeypatch.setenv("MINIGPT4_ENCODER_QUEUE", "2")
    monkeypatch.setenv("MINIGPT4_ENCODER_MAX_BATCH", "2")
    settings = load_settings(file, encoder_queue="3")
    assert settings.encoder_queue == 3
    assert settings.encoder_max_batch == 2
    assert settings.images_per_prompt == 1
    assert settings.decode_threads == Settings.model_fields["decode_threads"].default


def test_unknown_keys_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("encoder_que = 1\n")
    with pytest.raises(SettingsError, match="encoder_que"):
        load_settings(file)
    monkeypatch.setenv("MINIGPT4_ENCODER_QUE", "1")
    with pytest.raises(SettingsError, match="MINIGPT4_ENCODER_QUE"):
        load_settings()


def test_variables_of_a_kubernetes_service_are_not_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINIGPT4_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("MINIGPT4_SERVICE_PORT_HTTP", "80")
    monkeypatch.setenv("MINIGPT4_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("MINIGPT4_PORT_80_TCP_ADDR", "10.0.0.1")
    monkeypatch.setenv("MINIGPT4_DEMO_SERVICE_HOST", "10.0.0.2")
    load_settings()


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="encoder_queue"):
        load_settings(encoder_queue="0")


@pytest.mark.parametrize("name", ["ADAPTER_KEYS", "IMAGE_ALLOWED_HOSTS", "PROJECTIONS"])
def test_a_variable_that_is_not_json_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MINIGPT4_{name}", "operator")
    with pytest.raises(SettingsError, match=f"{name.lower()}: .*'operator' is not JSON"):
        load_settings()


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("encoder_queue: 1")
    with pytest.raises(SettingsError, match=str(file)):
        load_settings(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml does not exist"):
        load_settings(tmp_path / "absent.toml")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_does(name: str) -> None:
    assert Settings.model_fields[name].description
