"""Where many events of one consumer wait: who waits for whom, and what is kept of them."""

import asyncio
from collections.abc import Callable

import pytest

from actors.events import queues
from actors.events.delivery import DeliveryError
from actors.events.records import OrderedEvent
from domain.values import UserId
from tests.fakes.consumer_world import World
from tests.fakes.noting_handler import NotingHandler
from tests.fakes.shards import in_loop, until


@in_loop
async def test_of_many_events_so_many_are_held_and_none_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "HELD_MAX", 3)
    world, handler = World(), NotingHandler()
    handler.gate.clear()
    for number in range(10):
        world.happen(f"user-{number}")

    async with world.relaying(handler) as relay:
        await until(lambda: len(handler.in_flight) == 3)
        held = len(relay.consumers[handler.name].held)
        handler.gate.set()
        await until(lambda: len(handler.taken) == 10)

    assert held == 3
    assert handler.most_in_flight == 3


def failing(*users: str) -> Callable[[OrderedEvent], DeliveryError | None]:
    """Return what says of these users' events that the endpoint answers 500."""
    return lambda e: DeliveryError("500") if e.record.user_id in users else None


async def long_pauses(seconds: float) -> None:
    """Sleep so that what fails is seldom tried again."""
    await asyncio.sleep(0 if seconds < 0.2 else 0.02)


@in_loop
async def test_many_events_of_a_user_that_fail_make_no_other_user_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "HELD_MAX", 6)
    world, handler = World(), NotingHandler()
    handler.failure = failing("ann", "bob")
    async with world.relaying(handler, sleep=long_pauses) as relay:
        world.happen("ann", 20)
        world.happen("bob", 20)
        for number in range(10):
            world.happen(f"user-{number}", 2)
        await until(lambda: len(handler.taken) == 20)
        (noting,) = relay.consumers.values()
        most = len(noting.held)

        handler.failure = failing()
        await until(lambda: relay.lag_of(noting) == 0)

    assert most <= 6
    assert handler.of_user("ann") == sorted(handler.of_user("ann"))
    assert len(handler.of_user("ann")) == len(handler.of_user("bob")) == 20
    assert len(set(handler.orders)) == len(handler.orders) == 60


@in_loop
async def test_what_waits_in_the_database_is_done_with_where_its_user_is_anonymous_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "HELD_MAX", 2)
    world, handler = World(), NotingHandler()
    handler.failure = failing("ann")
    async with world.relaying(handler, sleep=long_pauses) as relay:
        world.happen("ann", 10)
        world.happen("bob", 1)
        await until(lambda: handler.of_user("bob"))
        (noting,) = relay.consumers.values()
        await relay.let_go(UserId("ann"))
        for name in [n for n, d in world.events.documents.items() if d["user_id"] == "ann"]:
            del world.events.documents[name]
        handler.failure = failing()
        await until(lambda: relay.lag_of(noting) == 0)

    assert handler.of_user("ann") == []


@in_loop
async def test_no_more_places_are_kept_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "HELD_MAX", 2)
    monkeypatch.setattr(queues, "LEFT_BEHIND_MAX", 3)
    world, handler = World(), NotingHandler()
    handler.failure = failing("ann")
    async with world.relaying(handler, sleep=long_pauses) as relay:
        world.happen("ann", 20)
        world.happen("bob", 1)
        await until(lambda: handler.attempts.total() > 5)
        waiting = handler.of_user("bob")
        handler.failure = failing()
        (noting,) = relay.consumers.values()
        await until(lambda: relay.lag_of(noting) == 0)

    assert waiting == []
    assert len(handler.of_user("ann")) == 20
    assert handler.of_user("ann") == sorted(handler.of_user("ann"))


@in_loop
async def test_events_of_types_that_are_not_wanted_lie_between_those_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queues, "HELD_MAX", 2)
    world, handler = World(), NotingHandler()
    handler.failure = failing("ann")
    handler.wants = lambda event: event.order % 3 == 0  # type: ignore[method-assign]
    async with world.relaying(handler, sleep=long_pauses) as relay:
        world.happen("ann", 30)
        await until(lambda: handler.attempts.total() > 5)
        handler.failure = failing()
        (noting,) = relay.consumers.values()
        await until(lambda: relay.lag_of(noting) == 0)

    assert handler.of_user("ann") == list(range(3, 31, 3))
