"""Which images share a batch, an encoding or a cache entry."""

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
import torch

from service.errors import EncoderOverloadedError
from service.vision.encoded_image import EncodedImage
from service.vision.image_queue import BACKGROUND_SECONDS, ImageQueue, Job
from service.vision.limits import EncodingLimits
from tests.vision.fake_encoder import (
    FakeEncoder,
    FakeGpuEncoder,
    StartRuntime,
    hold_busy,
    submit,
    value_of,
    wait_for_ready,
)


def test_images_that_arrive_during_an_encoding_share_the_next_batch(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(max_batch=8)
    first = hold_busy(runtime, encoder)
    others = [submit(runtime, value) for value in (1, 2, 3)]
    wait_for_ready(runtime, 3)
    encoder.go.set()
    assert [value_of(future) for future in (first, *others)] == [9, 1, 2, 3]
    assert [sorted(batch) for batch in encoder.batches] == [[9], [1, 2, 3]]


def test_a_batch_has_at_most_max_batch_images(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(max_batch=2)
    hold_busy(runtime, encoder)
    futures = [submit(runtime, value) for value in range(5)]
    wait_for_ready(runtime, 5)
    encoder.go.set()
    assert [value_of(future) for future in futures] == [0, 1, 2, 3, 4]
    assert [len(batch) for batch in encoder.batches] == [1, 2, 2, 1]


def test_an_idle_encoder_does_not_wait(start_runtime: StartRuntime, encoder: FakeEncoder) -> None:
    runtime = start_runtime(max_batch=8, max_wait=3600)
    assert value_of(submit(runtime, 1)) == 1


def test_after_an_encoding_the_next_batch_waits_for_more_images(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(max_batch=2, max_wait=3600)
    hold_busy(runtime, encoder)
    early = submit(runtime, 1)
    wait_for_ready(runtime, 1)
    encoder.go.set()
    late = submit(runtime, 2)
    assert [value_of(early), value_of(late)] == [1, 2]
    assert encoder.batches == [[9], [1, 2]]


def test_the_same_image_is_encoded_once_for_all_waiters(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime()
    hold_busy(runtime, encoder)
    futures = [submit(runtime, 5) for _ in range(10)]
    encoder.go.set()
    assert {value_of(future) for future in futures} == {5}
    assert encoder.batches == [[9], [5]]
    assert value_of(submit(runtime, 5)) == 5
    assert encoder.batches == [[9], [5]], "the embeddings are cached"


def test_the_cache_is_bounded_in_bytes(start_runtime: StartRuntime, encoder: FakeEncoder) -> None:
    size = 2 * 3 * 4
    runtime = start_runtime(cache_bytes=2 * size)
    for value in (1, 2, 3, 1):
        value_of(submit(runtime, value))
    assert encoder.batches == [[1], [2], [3], [1]]
    value_of(submit(runtime, 3))
    assert len(encoder.batches) == 4


def test_without_a_cache_every_image_is_encoded(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(cache_bytes=0)
    assert [value_of(submit(runtime, 1)) for _ in range(2)] == [1, 1]
    assert encoder.batches == [[1], [1]]


def test_a_full_queue_refuses_at_once(start_runtime: StartRuntime, encoder: FakeEncoder) -> None:
    runtime = start_runtime(max_queue=2)
    held = hold_busy(runtime, encoder)
    accepted = [submit(runtime, value) for value in (1, 2)]
    with pytest.raises(EncoderOverloadedError):
        submit(runtime, 3)
    assert submit(runtime, 1) is not None, "joining an encoding in progress must always be possible"
    encoder.go.set()
    assert [value_of(future) for future in (held, *accepted)] == [9, 1, 2]
    assert value_of(submit(runtime, 3)) == 3


def test_many_threads_that_submit_few_images_get_the_right_results(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(max_batch=4, cache_bytes=100)
    values = [index % 7 for index in range(300)]
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda value: value_of(submit(runtime, value)), values))
    assert results == values
    assert all(len(batch) == len(set(batch)) for batch in encoder.batches)


def test_background_images_wait_for_all_others_and_share_no_batch_with_them(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(max_batch=8)
    first = hold_busy(runtime, encoder)
    background = [submit(runtime, value, background=True) for value in (1, 2)]
    wait_for_ready(runtime, 2)
    others = [submit(runtime, value) for value in (3, 4)]
    wait_for_ready(runtime, 4)
    encoder.go.set()
    assert [value_of(future) for future in (first, *background, *others)] == [9, 1, 2, 3, 4]
    assert [sorted(batch) for batch in encoder.batches[:2]] == [[9], [3, 4]]
    assert sorted(chain.from_iterable(encoder.batches[2:])) == [1, 2]


def test_background_batches_are_short(start_runtime: StartRuntime, encoder: FakeEncoder) -> None:
    runtime = start_runtime(max_batch=8)
    hold_busy(runtime, encoder)
    runtime._queue.seconds_per_image = BACKGROUND_SECONDS / 2.5
    assert runtime._queue._background_batch() == 2
    runtime._queue.seconds_per_image = 10
    assert runtime._queue._background_batch() == 1
    runtime._queue.seconds_per_image = 1e-6
    assert runtime._queue._background_batch() == 8
    encoder.go.set()


def test_a_background_image_that_another_request_needs_goes_first(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(max_batch=1)
    hold_busy(runtime, encoder)
    background = [submit(runtime, value, background=True) for value in (1, 2)]
    wait_for_ready(runtime, 2)
    other = submit(runtime, 2)
    encoder.go.set()
    assert [value_of(future) for future in (*background, other)] == [1, 2, 2]
    assert encoder.batches == [[9], [2], [1]]
    assert (runtime._queue._queued, runtime._queue._background_queued) == (0, 0)


def test_background_images_take_no_places_of_others(
    start_runtime: StartRuntime, encoder: FakeEncoder
) -> None:
    runtime = start_runtime(max_queue=2)
    hold_busy(runtime, encoder)
    accepted = [submit(runtime, value, background=True) for value in (1, 2)]
    with pytest.raises(EncoderOverloadedError):
        submit(runtime, 3, background=True)
    accepted += [submit(runtime, value) for value in (3, 4)]
    encoder.go.set()
    assert [value_of(future) for future in accepted] == [1, 2, 3, 4]


def test_the_next_batch_begins_before_the_last_one_is_delivered(
    start_runtime: StartRuntime, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a GPU would wait while results are copied and sent."""
    runtime = start_runtime(max_batch=8)
    is_on_gpu = isinstance(encoder, FakeGpuEncoder)
    seen: list[list[list[int]]] = []
    finish = runtime._queue.finish

    def record_and_finish(job: Job, image: EncodedImage) -> None:
        if job.digest == "9" and is_on_gpu:
            assert encoder.busy.wait(10)
        seen.append([*encoder.batches])
        finish(job, image)

    monkeypatch.setattr(runtime._queue, "finish", record_and_finish)
    first = hold_busy(runtime, encoder)
    encoder.busy.clear()
    second = submit(runtime, 1)
    wait_for_ready(runtime, 1)
    encoder.go.set()
    assert [value_of(first), value_of(second)] == [9, 1]
    assert seen[0] == ([[9], [1]] if is_on_gpu else [[9]])


def test_without_waiting_a_batch_that_may_still_grow_is_not_taken() -> None:
    queue = ImageQueue(EncodingLimits(max_batch=2, max_wait=3600))
    assert queue.take_batch(wait=False) == []
    jobs = [queue.enter(digest)[1] for digest in ("a", "b")]
    for expected, job in zip(([], jobs), jobs, strict=True):
        assert job is not None
        queue.add_pixels(job, torch.zeros(1))
        assert queue.take_batch(wait=False) == expected
