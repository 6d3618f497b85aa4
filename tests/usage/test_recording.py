"""What is reported reaches the ledger and the metrics."""

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from service.usage import mapped_ledger, recording
from service.usage.amounts import Usage
from service.usage.mapped_ledger import create
from service.usage.recording import record, set_ledger, shared_ledger


@pytest.fixture(autouse=True)
def ledger() -> Iterator[None]:
    before = recording._ledger
    set_ledger(create())
    yield
    recording._ledger = before


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_amounts_are_in_both() -> None:
    record("recorded", Usage(input_tokens=5, output_tokens=7, images=1, bytes_sent=9))
    record("recorded", Usage(input_tokens=1, encoder_seconds=0.5, engine_seconds=2))
    used = shared_ledger().read("recorded")
    assert used == Usage(0, 6, 7, 1, 0, 9, 0.5, 2)
    assert sample("minigpt4_key_tokens_total", key="recorded", direction="input") == 6
    assert sample("minigpt4_key_tokens_total", key="recorded", direction="output") == 7
    assert sample("minigpt4_key_images_total", key="recorded") == 1
    assert sample("minigpt4_key_bytes_total", key="recorded", direction="sent") == 9
    assert sample("minigpt4_key_seconds_total", key="recorded", part="encoder") == 0.5
    assert sample("minigpt4_key_seconds_total", key="recorded", part="engine") == 2


def test_many_names_make_few_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_ledger, "LABELS", 3)
    before = sample("minigpt4_key_images_total", key="other")
    for number in range(10):
        record(f"many-{number}", Usage(images=1))
    assert sample("minigpt4_key_images_total", key="other") == before + 7
    assert sample("minigpt4_key_images_total", key="many-9") == 0
    assert shared_ledger().read("many-9") == Usage(images=1)
