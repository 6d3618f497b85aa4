"""Places that nobody may take all of."""

import asyncio

import pytest

from service.images.fair_semaphore import Places


def waiting(places: Places, name: str) -> "asyncio.Task[object]":
    return asyncio.create_task(places.take(name))


async def settle() -> None:
    """Let every task get as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_name_has_its_share_at_most() -> None:
    places = Places(3, 2)
    given_back = await places.take("a")
    await places.take("a")
    third, other = waiting(places, "a"), waiting(places, "b")
    await settle()
    assert (third.done(), other.done()) == (False, True)
    given_back()
    await settle()
    assert third.done()


async def test_all_names_together_have_the_total_at_most() -> None:
    places = Places(2, 2)
    given_back = await places.take("a")
    await places.take("b")
    late = waiting(places, "c")
    await settle()
    assert not late.done()
    given_back()
    await settle()
    assert late.done()


async def test_without_names_there_are_no_shares() -> None:
    places = Places(3, 1)
    for _ in range(3):
        await places.take("")
    late = waiting(places, "")
    await settle()
    assert not late.done()
    late.cancel()


async def test_who_stops_waiting_takes_nothing() -> None:
    places = Places(1, 1)
    async with places.place("a"):
        given_up = waiting(places, "b")
        await settle()
        given_up.cancel()
        await settle()
    next_one = waiting(places, "b")
    await settle()
    assert next_one.done()


async def test_a_place_is_given_back_when_its_block_fails() -> None:
    places = Places(1, 1)
    with pytest.raises(ZeroDivisionError):
        async with places.place("a"):
            raise ZeroDivisionError
    next_one = waiting(places, "a")
    await settle()
    assert next_one.done()
