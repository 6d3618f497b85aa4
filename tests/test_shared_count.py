"""A number to which several processes add."""

import multiprocessing

import pytest

from service.shared_count import Count, LocalCount, SharedCount

CONTEXT = multiprocessing.get_context("spawn")


def add_often(count: SharedCount, limit: int) -> None:
    """Take places one by one until there are no more."""
    while True:
        with count.lock:
            if count.total >= limit:
                return
            count.add(1)


@pytest.mark.parametrize("count", [LocalCount(), SharedCount.create(CONTEXT, 2)])
def test_what_is_added_is_counted(count: Count) -> None:
    count.add(3)
    count.add(-1)
    with count.lock:
        assert count.total == 2


def test_no_process_takes_a_place_that_another_one_has() -> None:
    count = SharedCount.create(CONTEXT, 2)
    processes = [
        CONTEXT.Process(target=add_often, args=(count.for_process(index), 5000))
        for index in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert count.total == 5000
