"""The encoding runtime with a fake encoder that a test controls."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from service.errors import (
    EncoderNotReadyError,
    EncoderOverloadedError,
    EncodingError,
    ImageFormatError,
)
from service.model_folder.vision_config import QFormerShape, VisionConfig, ViTShape
from service.vision.encoded_image import EncodedImage
from service.vision.encoding_thread import MAX_FAILURES
from service.vision.limits import EncodingLimits
from service.vision.runtime import EncodingRuntime

CONFIG = VisionConfig(
    image_size=14,
    vit=ViTShape(hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1),
    qformer=QFormerShape(
        hidden_size=4,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        query_tokens=2,
    ),
    hidden_size=3,
)
POISON, NAN = 255, 254


class FakeEncoder:
    """Embeds an image as its first pixel, waits for ``go``, and fails on poison."""

    config = CONFIG

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.busy = threading.Event()
        self.started = 0

    def startup(self) -> None:
        self.started += 1

    def encode(self, pixels: Tensor) -> Tensor:
        values = pixels[:, 0, 0, 0].tolist()
        self.batches.append(values)
        self.busy.set()
        assert self.go.wait(30)
        if POISON in values:
            raise RuntimeError("CUDA error: secret details")
        embeddings = pixels[:, 0, 0, 0].float()[:, None, None].expand(-1, 2, 3).clone()
        embeddings[embeddings == NAN] = float("nan")
        return embeddings


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def make(encoder: FakeEncoder) -> Iterator[Callable[..., EncodingRuntime]]:
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


def pixels(value: int) -> Callable[[], Tensor]:
    return lambda: torch.full((14, 14, 3), value, dtype=torch.uint8)


def submit(runtime: EncodingRuntime, value: int, digest: str | None = None) -> Future[EncodedImage]:
    return runtime.submit(digest or str(value), pixels(value))


def value_of(future: Future[EncodedImage]) -> float:
    return future.result(10).embeddings[0, 0].item()


def hold_busy(
    runtime: EncodingRuntime, encoder: FakeEncoder, value: int = 9
) -> Future[EncodedImage]:
    """Keep the encoder busy with one image until ``encoder.go`` is set."""
    encoder.go.clear()
    encoder.busy.clear()
    future = submit(runtime, value)
    assert encoder.busy.wait(10)
    return future


def wait_for_ready(runtime: EncodingRuntime, count: int) -> None:
    """Block until ``count`` decoded images wait for the next batch."""
    queue = runtime._queue
    with queue._changed:
        assert queue._changed.wait_for(lambda: len(queue._ready) == count, 10)


def test_images_that_arrive_during_an_encoding_share_the_next_batch(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(max_batch=8)
    first = hold_busy(runtime, encoder)
    others = [submit(runtime, value) for value in (1, 2, 3)]
    wait_for_ready(runtime, 3)
    encoder.go.set()
    assert [value_of(future) for future in (first, *others)] == [9, 1, 2, 3]
    assert [sorted(batch) for batch in encoder.batches] == [[9], [1, 2, 3]]


def test_a_batch_has_at_most_max_batch_images(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(max_batch=2)
    hold_busy(runtime, encoder)
    futures = [submit(runtime, value) for value in range(5)]
    wait_for_ready(runtime, 5)
    encoder.go.set()
    assert [value_of(future) for future in futures] == [0, 1, 2, 3, 4]
    assert [len(batch) for batch in encoder.batches] == [1, 2, 2, 1]


def test_an_idle_encoder_does_not_wait(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(max_batch=8, max_wait=3600)
    assert value_of(submit(runtime, 1)) == 1


def test_after_an_encoding_the_next_batch_waits_for_more_images(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(max_batch=2, max_wait=3600)
    hold_busy(runtime, encoder)
    early = submit(runtime, 1)
    wait_for_ready(runtime, 1)
    encoder.go.set()
    late = submit(runtime, 2)
    assert [value_of(early), value_of(late)] == [1, 2]
    assert encoder.batches == [[9], [1, 2]]


def test_the_same_image_is_encoded_once_for_all_waiters(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make()
    hold_busy(runtime, encoder)
    futures = [submit(runtime, 5) for _ in range(10)]
    encoder.go.set()
    assert {value_of(future) for future in futures} == {5}
    assert encoder.batches == [[9], [5]]
    assert value_of(submit(runtime, 5)) == 5
    assert encoder.batches == [[9], [5]], "the embeddings are cached"


def test_the_cache_is_bounded_in_bytes(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    size = 2 * 3 * 4
    runtime = make(cache_bytes=2 * size)
    for value in (1, 2, 3, 1):
        value_of(submit(runtime, value))
    assert encoder.batches == [[1], [2], [3], [1]]
    value_of(submit(runtime, 3))
    assert len(encoder.batches) == 4


def test_without_a_cache_every_image_is_encoded(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(cache_bytes=0)
    assert [value_of(submit(runtime, 1)) for _ in range(2)] == [1, 1]
    assert encoder.batches == [[1], [1]]


def test_a_full_queue_refuses_at_once(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(max_queue=2)
    held = hold_busy(runtime, encoder)
    accepted = [submit(runtime, value) for value in (1, 2)]
    with pytest.raises(EncoderOverloadedError):
        submit(runtime, 3)
    assert submit(runtime, 1) is not None, "joining an encoding in progress must always be possible"
    encoder.go.set()
    assert [value_of(future) for future in (held, *accepted)] == [9, 1, 2]
    assert value_of(submit(runtime, 3)) == 3


def test_a_poisoned_image_fails_alone(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make()
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
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make()
    with pytest.raises(EncodingError):
        value_of(submit(runtime, NAN))


def test_an_undecodable_image_fails_all_waiters_and_leaves_the_queue(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(max_queue=1)

    def load() -> Tensor:
        raise ImageFormatError("broken")

    for _ in range(3):
        with pytest.raises(ImageFormatError):
            runtime.submit("broken", load).result(10)
    assert value_of(submit(runtime, 1)) == 1


def test_an_abandoned_image_is_dropped_before_its_batch(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(max_queue=2)
    hold_busy(runtime, encoder)
    abandoned, wanted = submit(runtime, 1), submit(runtime, 2)
    wait_for_ready(runtime, 2)
    assert abandoned.cancel()
    encoder.go.set()
    assert value_of(wanted) == 2
    assert encoder.batches == [[9], [2]]
    assert value_of(submit(runtime, 1)) == 1


def test_one_of_several_waiters_may_cancel(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make()
    hold_busy(runtime, encoder)
    cancelled, other = submit(runtime, 1), submit(runtime, 1)
    cancelled.cancel()
    encoder.go.set()
    assert value_of(other) == 1


async def test_decoding_without_encoding_waits_for_its_turn(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(decode_threads=1)
    decoding, go = threading.Event(), threading.Event()
    order: list[str] = []

    def load() -> Tensor:
        decoding.set()
        assert go.wait(30)
        order.append("encoded")
        return pixels(1)()

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
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make()
    hold_busy(runtime, encoder)
    task = asyncio.create_task(runtime.encode("1", pixels(1)))
    await asyncio.to_thread(wait_for_ready, runtime, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    encoder.go.set()
    assert (await runtime.encode("2", pixels(2))).embeddings[0, 0] == 2
    assert encoder.batches == [[9], [2]]


def test_shutdown_finishes_the_batch_and_fails_the_rest(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make()
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


def test_many_threads_that_submit_few_images_get_the_right_results(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make(max_batch=4, cache_bytes=100)
    values = [index % 7 for index in range(300)]
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda value: value_of(submit(runtime, value)), values))
    assert results == values
    assert all(len(batch) == len(set(batch)) for batch in encoder.batches)


def test_an_encoder_that_fails_on_every_image_is_reported_as_failed(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(pixels: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    runtime = make()
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
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make()
    for number in range(2 * MAX_FAILURES):
        with pytest.raises(EncodingError):
            value_of(submit(runtime, POISON, f"poison {number}"))
    assert value_of(submit(runtime, 1)) == 1
    assert not runtime.failed


def test_damaged_images_do_not_count_as_encoder_failures(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make()

    def load() -> Tensor:
        raise ImageFormatError("broken")

    encoder.encode = lambda pixels: pytest.fail("the encoder was called")
    for number in range(2 * MAX_FAILURES):
        with pytest.raises(ImageFormatError):
            runtime.submit(f"damaged {number}", load).result(10)
    assert not runtime.failed


def test_after_a_failed_copy_the_next_image_is_encoded(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    class Uncopyable(Tensor):
        def clone(self, **_: Any) -> Tensor:
            raise MemoryError("out of memory")

    def encode(pixels: Tensor) -> Tensor:
        encoder.encode = FakeEncoder.encode.__get__(encoder)
        return torch.zeros(len(pixels), 2, 3).as_subclass(Uncopyable)

    runtime = make()
    encoder.encode = encode
    with pytest.raises(EncodingError):
        value_of(submit(runtime, 1))
    assert value_of(submit(runtime, 2)) == 2


def test_a_crashed_encoding_thread_is_a_failure_and_leaves_no_waiter(
    make: Callable[..., EncodingRuntime], encoder: FakeEncoder
) -> None:
    runtime = make()
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


def test_a_runtime_has_not_failed_after_shutdown(make: Callable[..., EncodingRuntime]) -> None:
    runtime = make()
    runtime.shutdown()
    assert not runtime.failed
