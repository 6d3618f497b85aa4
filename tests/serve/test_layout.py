"""Which processes the service consists of."""

from argparse import Namespace
from typing import Any

import pytest

from service.errors import SettingsError
from service.serve.layout import count_api_processes
from service.settings import Settings, load_settings


def count(on_gpu: bool, asked: int | None = None, engines: int = 1, **settings: Any) -> int:
    arguments = Namespace(api_server_count=asked, data_parallel_size=engines, nnodes=1)
    own: Settings = load_settings(**settings)
    return count_api_processes(arguments, own, on_gpu)


@pytest.mark.parametrize(
    ("on_gpu", "asked", "encoder_process", "cores", "expected"),
    [
        (False, None, "auto", 16, 0),
        (False, 1, "auto", 16, 0),
        (False, 2, "auto", 2, 2),
        (False, None, "on", 2, 1),
        (True, None, "auto", 16, 4),
        (True, None, "auto", 64, 4),
        (True, None, "auto", 2, 1),
        (True, 1, "auto", 16, 1),
        (True, None, "off", 16, 0),
    ],
)
def test_a_gpu_and_several_api_processes_have_a_supervisor(
    on_gpu: bool,
    asked: int | None,
    encoder_process: str,
    cores: int,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(cores))
    assert count(on_gpu, asked, encoder_process=encoder_process) == expected


def test_what_excludes_each_other_is_refused() -> None:
    with pytest.raises(SettingsError, match="encoder"):
        count(False, 2, encoder_process="off")
    with pytest.raises(SettingsError, match="data-parallel"):
        count(True, 2, engines=2)
    for wrong in (0, -1):
        with pytest.raises(SettingsError, match="at least 1"):
            count(True, wrong)
    assert count(True, None, engines=2) == 0
    with pytest.raises(SettingsError, match="projections"):
        count(True, 2, projections_dir="/somewhere")
    assert count(True, None, projections_dir="/somewhere") == 0
    with pytest.raises(SettingsError, match="LoRA"):
        count(True, 2, adapters_dir="/somewhere", adapter_keys={"alice"})
