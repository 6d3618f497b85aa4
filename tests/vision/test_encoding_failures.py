"""Images and encoders that fail: who gets an error, and when the encoder counts as failed."""

from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from service.errors import EncoderNotReadyError, EncodingError, ImageFormatError
from service.vision.encoding_thread import MAX_FAILURES
from tests.vision.fake_encoder import (
    NAN,
    POISON,
    FakeEncoder,
    StartRuntime,
    fail_to_decode,
    hold_busy,
    submit,
    value_of,
    wait_for_ready,
)


def test_a_poisoned_image_fails_alone(start_runtime: StartRuntime, encoder: FakeEncoder) -> None:
    runtime = start_runtime()
    hold_busy(runtime, encoder)
    good, bad, also_good = submit(runtime, 1), submit(runtime, POISON), submit(runtime, 2)
    wait_for_ready(runtime, 3)
    encoder.go.set()
    assert [value_of(good), value_of(also_good)] == [1, 2]
    with pytest.raises(EncodingError, match="failed on this image") as failure:
        bad.result(10)
    assert "secret" not in str(failure.value)
    assert value_of(submit(runtime, 3)) == 3


def test_embeddings_that_are_not_finite_are_an_error(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime()
    with pytest.raises(EncodingError):
        value_of(submit(runtime, NAN))


def test_an_undecodable_image_fails_all_waiters_and_leaves_the_queue(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(max_queue=1)
    for _ in range(3):
        with pytest.raises(ImageFormatError):
            runtime.submit("broken", fail_to_decode).result(10)
    assert value_of(submit(runtime, 1)) == 1


def test_an_encoder_that_fails_on_every_image_is_reported_as_failed(
    start_runtime: StartRuntime, encoder: FakeEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(pixels: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    runtime = start_runtime()
    encoder.encode = broken
    for number in range(MAX_FAILURES):
        assert runtime.ready
        with pytest.raises(EncodingError):
            value_of(submit(runtime, number))
    runtime._encoding.join(10)
    assert runtime.failed
    assert not runtime.ready
    with pytest.raises(EncoderNotReadyError):
        submit(runtime, 1)
    assert "illegal memory access" in caplog.text


def test_images_that_cannot_be_encoded_do_not_fail_the_encoder(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime()
    for number in range(2 * MAX_FAILURES):
        with pytest.raises(EncodingError):
            value_of(submit(runtime, POISON, f"poison {number}"))
    assert value_of(submit(runtime, 1)) == 1
    assert not runtime.failed


def test_damaged_images_do_not_count_as_encoder_failures(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime()
    encoder.encode = lambda pixels: pytest.fail("the encoder was called")
    for number in range(2 * MAX_FAILURES):
        with pytest.raises(ImageFormatError):
            runtime.submit(f"damaged {number}", fail_to_decode).result(10)
    assert not runtime.failed


def test_after_a_failed_copy_the_next_image_is_encoded(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    class Uncopyable(Tensor):
        def clone(self, **_: Any) -> Tensor:
            raise MemoryError("out of memory")

    def encode(pixels: Tensor) -> Tensor:
        encoder.encode = FakeEncoder.encode.__get__(encoder)
        return torch.zeros(len(pixels), 2, 3).as_subclass(Uncopyable)

    runtime = start_runtime()
    encoder.encode = encode
    with pytest.raises(EncodingError):
        value_of(submit(runtime, 1))
    assert value_of(submit(runtime, 2)) == 2


def test_a_crashed_encoding_thread_is_a_failure_and_leaves_no_waiter(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime()
    held = hold_busy(runtime, encoder)
    waiting = submit(runtime, 1)
    wait_for_ready(runtime, 1)
    runtime._queue.take_batch = Mock(side_effect=ZeroDivisionError)
    encoder.go.set()
    assert value_of(held) == 9
    with pytest.raises(EncoderNotReadyError):
        waiting.result(10)
    runtime._encoding.join(10)
    assert runtime.failed
    assert not runtime.ready
