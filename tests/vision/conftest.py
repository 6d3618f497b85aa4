"""Fixtures: a fake encoder and runtimes around it."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.vision.limits import EncodingLimits
from service.vision.runtime import EncodingRuntime
from tests.vision.fake_encoder import FakeEncoder, FakeGpuEncoder, StartRuntime


@pytest.fixture(params=[FakeEncoder, FakeGpuEncoder], ids=["cpu", "gpu"])
def encoder(request: pytest.FixtureRequest) -> FakeEncoder:
    made: FakeEncoder = request.param()
    return made


@pytest.fixture
def start_runtime(encoder: FakeEncoder) -> Iterator[StartRuntime]:
    """Start runtimes around the fake encoder, and shut them down after the test."""
    runtimes = []

    def start(**limits: Any) -> EncodingRuntime:
        runtime = EncodingRuntime(encoder, EncodingLimits(**{"decode_threads": 4, **limits}))
        runtime.startup()
        runtimes.append(runtime)
        return runtime

    yield start
    encoder.go.set()
    for runtime in runtimes:
        runtime.shutdown()
