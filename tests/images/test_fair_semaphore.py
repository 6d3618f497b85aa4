"""The semaphore's total, its shares, and the release of slots."""

import asyncio

import pytest

from service.images.fair_semaphore import FairSemaphore


def start_waiting(slots: FairSemaphore, name: str) -> "asyncio.Task[object]":
    return asyncio.create_task(slots.acquire(name))


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_name_gets_at_most_its_share() -> None:
    slots = FairSemaphore(3, 2)
    release = await slots.acquire("a")
    await slots.acquire("a")
    third, other = start_waiting(slots, "a"), start_waiting(slots, "b")
    await settle()
    assert (third.done(), other.done()) == (False, True)
    release()
    await settle()
    assert third.done()


async def test_all_names_together_get_at_most_the_total() -> None:
    slots = FairSemaphore(2, 2)
    release = await slots.acquire("a")
    await slots.acquire("b")
    late = start_waiting(slots, "c")
    await settle()
    assert not late.done()
    release()
    await settle()
    assert late.done()


async def test_the_empty_name_has_no_share() -> None:
    slots = FairSemaphore(3, 1)
    for _ in range(3):
        await slots.acquire("")
    late = start_waiting(slots, "")
    await settle()
    assert not late.done()
    late.cancel()


async def test_a_cancelled_waiter_takes_no_slot() -> None:
    slots = FairSemaphore(1, 1)
    async with slots.hold("a"):
        cancelled = start_waiting(slots, "b")
        await settle()
        cancelled.cancel()
        await settle()
    waiter = start_waiting(slots, "b")
    await settle()
    assert waiter.done()


async def test_a_slot_is_released_when_its_block_raises() -> None:
    slots = FairSemaphore(1, 1)
    with pytest.raises(ZeroDivisionError):
        async with slots.hold("a"):
            raise ZeroDivisionError
    waiter = start_waiting(slots, "a")
    await settle()
    assert waiter.done()
