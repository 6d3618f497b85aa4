"""What is said when the engine does not start."""

import ctypes
from argparse import Namespace

import pytest

from service.engine import client
from service.errors import EngineStartError, ServiceError
from service.serve import command as serving


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (
            "Engine core initialization failed. See root cause above. "
            "Failed core proc(s): {'EngineCore_DP0': -9}",
            ["memory", "VLLM_CPU_KVCACHE_SPACE"],
        ),
        (
            "Engine core initialization failed. See root cause above. "
            "Failed core proc(s): {'EngineCore_DP0': 1}",
            ["See root cause above", "'EngineCore_DP0': 1"],
        ),
        ("max_model_len 9000 is too long\nA second line", ["9000"]),
    ],
)
def test_the_cause_is_one_line(
    raised: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: Namespace) -> None:
        raise RuntimeError(raised)

    monkeypatch.setattr(client, "_start", fail)
    with pytest.raises(EngineStartError) as failure:
        client.start_engine(Namespace(), ())
    message = str(failure.value)
    assert "\n" not in message
    assert all(word in message for word in words)


def test_a_missing_libnuma_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's kernels would be missing, and an operator that nobody knows would be the error."""

    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(ServiceError, match="apt install libnuma1"):
        serving._require_libnuma()
