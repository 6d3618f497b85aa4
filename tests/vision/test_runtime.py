"""Start, shutdown and cancelled requests of the encoding runtime."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from service.errors import EncoderNotReadyError, ImageFormatError
from service.vision.encoding import Encoding
from service.vision.limits import EncodingLimits
from service.vision.runtime import EncodingRuntime
from tests.vision.fake_encoder import (
    FakeEncoder,
    StartRuntime,
    hold_busy,
    make_pixels,
    submit,
    value_of,
    wait_for_ready,
)


def test_an_abandoned_image_is_dropped_before_its_batch(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(max_queue=2)
    hold_busy(runtime, encoder)
    abandoned, wanted = submit(runtime, 1), submit(runtime, 2)
    wait_for_ready(runtime, 2)
    assert abandoned.cancel()
    encoder.go.set()
    assert value_of(wanted) == 2
    assert encoder.batches == [[9], [2]]
    assert value_of(submit(runtime, 1)) == 1


def test_one_of_several_waiters_may_cancel(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime()
    hold_busy(runtime, encoder)
    cancelled, other = submit(runtime, 1), submit(runtime, 1)
    cancelled.cancel()
    encoder.go.set()
    assert value_of(other) == 1


def test_waiters_share_the_time_and_a_cached_image_costs_nothing(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(cache_bytes=1000)
    hold_busy(runtime, encoder)
    first, second = submit(runtime, 1), submit(runtime, 1)
    encoder.go.set()
    assert first.result(10).seconds == second.result(10).seconds > 0
    assert submit(runtime, 1).result(10).seconds == 0


async def test_decoding_without_encoding_waits_for_its_turn(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(decode_threads=1)
    decoding, go = threading.Event(), threading.Event()
    order: list[str] = []

    def load() -> Tensor:
        decoding.set()
        assert go.wait(30)
        order.append("encoded")
        return make_pixels(1)()

    encoded = runtime.submit("1", load)
    await asyncio.to_thread(decoding.wait, 10)
    checked = asyncio.create_task(runtime.on_decoding_thread(lambda: order.append("checked")))
    await asyncio.sleep(0)  # let it begin
    go.set()
    await checked
    assert order == ["encoded", "checked"]
    assert await asyncio.to_thread(value_of, encoded) == 1

    def broken() -> None:
        raise ImageFormatError("no image")

    with pytest.raises(ImageFormatError):
        await runtime.on_decoding_thread(broken)
    runtime.shutdown()
    with pytest.raises(EncoderNotReadyError):
        await runtime.on_decoding_thread(lambda: None)


async def test_a_cancelled_request_drops_its_image(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime()
    hold_busy(runtime, encoder)
    task = asyncio.create_task(runtime.encode("1", make_pixels(1)))
    await asyncio.to_thread(wait_for_ready, runtime, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    encoder.go.set()
    assert (await runtime.encode("2", make_pixels(2))).embeddings[0, 0] == 2
    assert encoder.batches == [[9], [2]]


def test_shutdown_finishes_the_batch_and_fails_the_rest(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime()
    held = hold_busy(runtime, encoder)
    waiting = submit(runtime, 1)
    wait_for_ready(runtime, 1)
    with ThreadPoolExecutor(1) as thread:
        stopping = thread.submit(runtime.shutdown)
        with pytest.raises(EncoderNotReadyError):
            waiting.result(10)
        encoder.go.set()
        stopping.result(10)
    assert value_of(held) == 9
    assert not runtime.ready
    with pytest.raises(EncoderNotReadyError):
        submit(runtime, 2)


def test_an_encoder_that_cannot_start_is_not_ready(encoder: FakeEncoder) -> None:
    def fail() -> None:
        raise MemoryError("out of memory")

    encoder.startup = fail
    runtime = EncodingRuntime(encoder, EncodingLimits())
    with pytest.raises(MemoryError):
        runtime.startup()
    assert not runtime.ready


def test_a_runtime_has_not_failed_after_shutdown(start_runtime: StartRuntime) -> None:
    runtime = start_runtime()
    runtime.shutdown()
    assert not runtime.failed


def test_only_the_encoding_thread_has_several_threads_of_torch(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    seen: list[int] = []

    def startup() -> None:
        torch.set_num_threads(3)
        torch.zeros(1 << 20).add_(1)  # the warm-up: torch binds the number to the thread

    begin = encoder.begin

    def begin_and_see(images: Sequence[Tensor]) -> Encoding:
        seen.append(torch.get_num_threads())
        return begin(images)

    encoder.startup, encoder.begin = startup, begin_and_see
    before = torch.get_num_threads()
    try:
        runtime = start_runtime()
        assert value_of(submit(runtime, 1)) == 1
        assert seen == [3]
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 1
    finally:
        torch.set_num_threads(before)
