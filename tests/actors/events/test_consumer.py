"""How events reach one handler: in order a user, many users at once, until it has taken them."""

import asyncio
import functools
from collections.abc import Callable

from actors.events.consumer import REFUSALS_MAX, SLOTS
from actors.events.delivery import DOWN_AFTER, DeliveryError, RefusedDeliveryError, pause
from actors.events.records import OrderedEvent
from domain.values import UserId
from tests.fakes.consumer_world import World
from tests.fakes.noting_handler import NotingHandler
from tests.fakes.shards import in_loop, until


def fails_for(
    user: str, how: type[DeliveryError] = DeliveryError
) -> Callable[[OrderedEvent], DeliveryError | None]:
    return lambda event: how("no") if event.record.user_id == user else None


def kept(world: World) -> int:
    """Return up to where the handler is done, as a relay after this one would read it."""
    progress = world.events.progress("noting")
    return progress.done_until if progress else 0


@in_loop
async def test_every_event_is_taken_once_and_each_users_in_order() -> None:
    world, handler = World(), NotingHandler()
    for user in ("ann", "bob", "cat"):
        world.happen(user, 5)

    async with world.relaying(handler):
        await until(lambda: len(handler.taken) == 15)
        world.happen("bob", 2)
        await until(lambda: len(handler.taken) == 17)

    assert sorted(handler.orders) == list(range(1, 18))
    for user in ("ann", "bob", "cat"):
        assert handler.of_user(user) == sorted(handler.of_user(user))


@in_loop
async def test_many_users_are_served_at_once_and_one_user_by_one_delivery() -> None:
    world, handler = World(), NotingHandler()
    handler.gate.clear()
    for number in range(SLOTS + 10):
        world.happen(f"user-{number}", 2)

    async with world.relaying(handler):
        await until(lambda: len(handler.in_flight) == SLOTS)
        assert handler.taken == []
        handler.gate.set()
        await until(lambda: len(handler.taken) == 2 * (SLOTS + 10))

    assert handler.most_in_flight == SLOTS


@in_loop
async def test_whoever_needs_only_the_newest_takes_no_older_event_that_waits() -> None:
    world, handler = World(), NotingHandler(newest_only=True)
    handler.gate.clear()
    world.happen("ann")
    async with world.relaying(handler) as relay:
        await until(lambda: len(handler.in_flight) == 1)
        world.happen("ann", 20)
        world.happen("bob", 3)
        await until(lambda: len(handler.in_flight) == 2)
        handler.gate.set()
        await until(lambda: len(handler.taken) == 3)
        await until(lambda: kept(world) == 24)
        report = await relay.report()

    assert sorted(handler.orders) == [1, 21, 24]
    assert report.undelivered_count == 0


@in_loop
async def test_what_is_delivered_again_is_taken_though_a_newer_event_waits() -> None:
    world, handler = World(), NotingHandler(newest_only=True)
    handler.failure = fails_for("ann", RefusedDeliveryError)
    world.happen("ann")
    async with world.relaying(handler) as relay:
        await until(lambda: world.events.count_dead() == 1)
        (letter,) = world.events.dead(1, again=False)
        handler.failure = lambda _: None
        handler.gate.clear()
        world.happen("ann")
        await until(lambda: len(handler.in_flight) == 1)
        await relay.redeliver(letter.event.record.id)
        world.happen("ann")
        await until(lambda: relay.consumers["noting"].progress.done_until == 1)
        await until(lambda: len(relay.consumers["noting"].held) == 3)
        handler.gate.set()
        await until(lambda: len(handler.taken) == 3)
        await until(lambda: world.events.count_dead() == 0)

    assert handler.orders == [2, 1, 3]


@in_loop
async def test_an_event_that_fails_holds_up_its_user_and_nobody_else() -> None:
    world, handler = World(), NotingHandler()
    handler.failure = fails_for("ann", RefusedDeliveryError)
    world.happen("ann", 2)
    world.happen("bob", 2)

    async with world.relaying(handler):
        await until(lambda: len(handler.of_user("bob")) == 2)
        await until(lambda: world.events.count_dead() == 2)

    assert handler.of_user("ann") == []


@in_loop
async def test_a_failure_is_tried_again_with_the_same_id_until_it_passes() -> None:
    world, handler = World(), NotingHandler()
    world.happen("ann", 2)
    left = [4]

    def fail_four_times(_: OrderedEvent) -> DeliveryError | None:
        left[0] -= 1
        return DeliveryError("not yet") if left[0] >= 0 else None

    handler.failure = fail_four_times
    async with world.relaying(handler):
        await until(lambda: len(handler.taken) == 2)

    first, second = handler.taken
    assert (handler.attempts[first.record.id], handler.attempts[second.record.id]) == (5, 1)


@in_loop
async def test_what_is_refused_is_a_dead_letter_after_a_few_attempts() -> None:
    world, handler = World(), NotingHandler()
    handler.failure = fails_for("ann", RefusedDeliveryError)
    world.happen("ann")

    async with world.relaying(handler) as relay:
        await until(lambda: world.events.count_dead() == 1)
        report = await relay.report()

    (dead,) = report.dead
    assert (dead.endpoint, dead.attempts, dead.last_error) == ("noting", REFUSALS_MAX, "no")
    assert report.undelivered_count == 0
    assert report.dead_count == 1


@in_loop
async def test_what_fails_for_too_long_is_a_dead_letter() -> None:
    world, handler = World(), NotingHandler()
    handler.failure = fails_for("ann")
    world.happen("ann")

    async with world.relaying(handler):
        await until(lambda: sum(handler.attempts.values()) > 20)
        assert world.events.count_dead() == 0
        world.clock.advance(hours=1)
        await until(lambda: world.events.count_dead() == 1)

    assert handler.taken == []


@in_loop
async def test_a_handler_that_is_down_is_probed_and_gets_all_once_it_is_back() -> None:
    world, handler = World(), NotingHandler()
    handler.failure = lambda _: DeliveryError("down")
    for number in range(40):
        world.happen(f"user-{number}")

    async with world.relaying(handler) as relay:
        health = relay.consumers["noting"].health
        await until(lambda: health.failures_in_a_row > 10 * DOWN_AFTER)
        handler.most_in_flight = 0
        tried = sum(handler.attempts.values())
        await until(lambda: sum(handler.attempts.values()) > tried + 20)
        assert health.is_down
        assert handler.most_in_flight == 1
        handler.failure = lambda _: None
        await until(lambda: len(handler.taken) == 40)
        assert not health.is_down

    assert sorted(handler.orders) == list(range(1, 41))


@in_loop
async def test_a_handler_that_hangs_or_fails_delays_no_other() -> None:
    world = World()
    hanging, failing, healthy = map(NotingHandler, ("hanging", "failing", "healthy"))
    hanging.gate.clear()
    failing.failure = lambda _: DeliveryError("500")
    for number in range(50):
        world.happen(f"user-{number}")

    async with world.relaying(hanging, failing, healthy) as relay:
        await until(lambda: len(healthy.taken) == 50)
        report = await relay.report()

    assert hanging.taken == failing.taken == []
    undelivered = {one.endpoint: one.undelivered for one in report.endpoints}
    assert (undelivered["hanging"], undelivered["failing"]) == (50, 50)


def have_taken(count: int, *handlers: NotingHandler) -> bool:
    """Whether handlers have taken so many events together, repeats not counted."""
    return len({order for handler in handlers for order in handler.orders}) >= count


@in_loop
async def test_killed_at_any_instant_it_repeats_at_most_what_was_in_flight() -> None:
    for killed_after in range(0, 60, 7):
        world, before, after = World(), NotingHandler(), NotingHandler()
        for number in range(20):
            world.happen(f"user-{number}", 3)

        async with world.relaying(before):
            await until(functools.partial(have_taken, killed_after, before))
        async with world.relaying(after):
            await until(functools.partial(have_taken, 60, before, after))

        repeated = set(before.orders) & set(after.orders)
        assert len(repeated) <= SLOTS
        for user in {event.record.user_id for event in after.taken}:
            assert after.of_user(user) == sorted(after.of_user(user))


@in_loop
async def test_a_handler_that_is_new_begins_with_what_is_new() -> None:
    world, first, second = World(), NotingHandler("first"), NotingHandler("second")
    world.happen("ann", 3)
    async with world.relaying(first):
        await until(lambda: (kept := world.events.progress("first")) and kept.done_until == 3)

    async with world.relaying(first, second):
        await until(lambda: world.events.progress("second") is not None)
        world.happen("ann")
        await until(lambda: 4 in first.orders and 4 in second.orders)

    assert second.orders == [4]


@in_loop
async def test_while_the_database_is_away_nothing_is_lost() -> None:
    world, handler = World(), NotingHandler()
    world.happen("ann", 2)
    async with world.relaying(handler):
        await until(lambda: len(handler.taken) == 2)
        world.events.unavailable = True
        world.happen("ann", 2)
        world.events.unavailable = False
        await until(lambda: len(handler.taken) == 4)

    assert handler.orders == [1, 2, 3, 4]


@in_loop
async def test_a_dead_letter_is_delivered_again_when_asked_even_after_a_restart() -> None:
    world, handler = World(), NotingHandler()
    handler.failure = fails_for("ann", RefusedDeliveryError)
    world.happen("ann")
    async with world.relaying(handler) as relay:
        await until(lambda: world.events.count_dead() == 1)
        (letter,) = world.events.dead(1)
        handler.gate.clear()
        handler.failure = lambda _: None
        assert await relay.redeliver(letter.event.record.id) == ["noting"]

    handler.gate.set()
    async with world.relaying(handler):
        await until(lambda: handler.orders == [1])
        await until(lambda: world.events.dead(10) == [])

    assert handler.orders == [1]


@in_loop
async def test_an_event_that_was_delivered_can_be_delivered_again() -> None:
    world, handler = World(), NotingHandler()
    world.happen("ann")
    async with world.relaying(handler) as relay:
        await until(lambda: len(handler.taken) == 1)
        await relay.redeliver(handler.taken[0].record.id)
        await until(lambda: len(handler.taken) == 2)
        await until(lambda: world.events.dead(10) == [])

    assert handler.orders == [1, 1]


def test_pauses_double_up_to_a_bound_and_differ() -> None:
    pauses = [[pause(attempt, 300.0) for _ in range(50)] for attempt in range(1, 15)]

    assert all(len(set(some)) > 1 for some in pauses)
    assert all(0.25 <= one <= 0.5 for one in pauses[0])
    assert all(150 <= one <= 300 for one in pauses[-1])


@in_loop
async def test_a_handler_that_refuses_an_event_is_back_for_all_others() -> None:
    world, handler = World(), NotingHandler()
    handler.failure = lambda _: DeliveryError("the endpoint answers 503")
    probes: list[float] = []

    async def sleep(seconds: float) -> None:
        probes.append(seconds)
        await asyncio.sleep(0)

    async with world.relaying(handler, sleep=sleep) as relay:
        for number in range(SLOTS):
            world.happen(f"user-{number}")
        (noting,) = relay.consumers.values()
        await until(lambda: noting.health.is_down)
        handler.failure = lambda _: RefusedDeliveryError("the endpoint answers 400")
        await until(lambda: not noting.health.is_down)
        handler.failure = lambda _: None
        await until(lambda: len(handler.taken) == SLOTS)

    assert noting.health.dead == 0


@in_loop
async def test_an_event_that_is_gone_when_it_is_tried_again_is_done_with() -> None:
    world, handler = World(), NotingHandler()
    world.happen("ann", 2)

    def lose_it(event: OrderedEvent) -> DeliveryError | None:
        if event.record.user_id != "ann":
            return None
        for name in [n for n, d in world.events.documents.items() if d["user_id"] == "ann"]:
            del world.events.documents[name]
        return DeliveryError("not yet")

    handler.failure = lose_it
    async with world.relaying(handler) as relay:
        await until(lambda: handler.attempts)
        await relay.let_go(UserId("ann"))
        world.happen("bob", 1)
        await until(lambda: len(handler.taken) == 1)
        (consumer,) = relay.consumers.values()
        await until(lambda: relay.lag_of(consumer) == 0)

    assert handler.of_user("ann") == []
    assert world.events.count_dead() == 0


@in_loop
async def test_what_waits_for_its_turn_while_its_user_is_made_anonymous_is_told_no_more() -> None:
    world, handler = World(), NotingHandler()
    handler.gate.clear()
    world.happen("ann", 1)
    async with world.relaying(handler) as relay:
        for number in range(SLOTS):
            world.happen(f"user-{number}")
        await until(lambda: len(handler.in_flight) == SLOTS)
        (held,) = relay.consumers.values()
        waiting = next(h for h in held.held.values() if not h.under_way)
        user = waiting.event.record.user_id

        await relay.let_go(UserId(user))
        del world.events.documents[waiting.event.record.id]
        handler.gate.set()
        await until(lambda: relay.lag_of(held) == 0)

    assert handler.of_user(user) == []
    assert len(handler.taken) == SLOTS


@in_loop
async def test_whoever_lets_go_waits_for_the_handler_that_has_an_event() -> None:
    world, handler = World(), NotingHandler()
    handler.gate.clear()
    world.happen("ann", 1)

    async with world.relaying(handler) as relay:
        await until(lambda: handler.in_flight)
        letting_go = asyncio.create_task(relay.let_go(UserId("ann")))
        await asyncio.sleep(0)
        assert not letting_go.done()
        handler.gate.set()
        await letting_go

    assert len(handler.of_user("ann")) == 1
