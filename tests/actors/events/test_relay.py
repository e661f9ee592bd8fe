"""How programs follow events, and resume where they were."""

import asyncio
from collections.abc import Sequence

import pytest

from actors.events.feed import TAIL_LENGTH
from actors.events.records import BEGINNING, EventPage, EventQuery, OrderedEvent
from actors.events.relay import POLL_SECONDS, QUIET_POLL_SECONDS, Relay, UnknownEventError
from actors.events.stream import AWAY_SECONDS_MAX, pages
from actors.protocol.errors import UnavailableError
from domain.events import EventRecord, EventType
from domain.values import UserId
from tests.fakes.consumer_world import World
from tests.fakes.janitor import yielding
from tests.fakes.noting_handler import NotingHandler
from tests.fakes.shards import in_loop, until


async def followed(relay: Relay, query: EventQuery, count: int) -> list[EventRecord]:
    """Return the next events that a program sees."""
    found: list[EventRecord] = []
    async for page in pages(relay, query, await relay.place(query.after)):
        found += page.events
        if len(found) >= count:
            break
    return found


@in_loop
async def test_a_program_resumes_after_the_event_it_saw_last() -> None:
    world = World()
    world.happen("ann", 3)
    world.happen("bob", 2)
    async with world.relaying() as relay:
        await until(lambda: world.events.head() == 5)
        every = await followed(relay, EventQuery(BEGINNING), 5)
        rest = await followed(relay, EventQuery(every[1].id), 3)

    assert len({record.id for record in every}) == 5
    assert rest == every[2:]


@in_loop
async def test_without_a_place_events_come_from_now_on() -> None:
    world = World()
    world.happen("ann", 3)
    async with world.relaying() as relay:
        await until(lambda: relay._feed.newest == 3)  # The store has it a moment before.
        following = asyncio.create_task(followed(relay, EventQuery(None), 1))
        await asyncio.sleep(0)
        await until(lambda: relay.consumers is not None)
        await relay.place(None)
        world.happen("bob")
        (record,) = await following

    assert record.user_id == "bob"


@in_loop
async def test_events_are_told_by_user_and_by_type() -> None:
    world = World()
    world.happen("ann", 2)
    world.happen("bob", 1)
    async with world.relaying() as relay:
        await until(lambda: world.events.head() > 2)
        own = await followed(relay, EventQuery(BEGINNING, user_id=UserId("bob")), 1)
        kinds = frozenset({EventType.CHANGED})
        changed = await followed(relay, EventQuery(BEGINNING, types=kinds), 2)

    assert {record.user_id for record in own} == {"bob"}
    assert {record.type for record in changed} == kinds


@in_loop
async def test_a_user_is_found_among_events_that_are_no_longer_in_ram(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.events.feed.TAIL_LENGTH", 2)
    world = World()
    world.happen("ann", 3)
    world.happen("bob", 5)
    async with world.relaying() as relay:
        await until(lambda: world.events.head() == 8)
        own = await followed(relay, EventQuery(BEGINNING, user_id=UserId("ann")), 3)
        every = await followed(relay, EventQuery(BEGINNING), 8)

    assert TAIL_LENGTH > 2
    assert [record.user_id for record in own] == ["ann"] * 3
    assert len(every) == 8


@in_loop
async def test_an_id_that_no_event_has_is_refused() -> None:
    world = World()
    async with world.relaying() as relay:
        with pytest.raises(UnknownEventError):
            await relay.place("evt_none")
        with pytest.raises(UnknownEventError):
            await relay.redeliver("evt_none")


@in_loop
async def test_another_users_event_is_as_unknown_as_none() -> None:
    world = World()
    world.happen("ann", 2)
    world.happen("bob", 1)
    async with world.relaying() as relay:
        every = await followed(relay, EventQuery(BEGINNING), 3)
        for record in every:
            own = await relay.place(record.id, UserId(record.user_id))
            assert own == await relay.place(record.id) > 0
            told = []
            for unknown in (record.id, "evt_none"):
                with pytest.raises(UnknownEventError) as refused:
                    await relay.place(unknown, UserId("eve"))
                told.append(str(refused.value))
            assert told[0] == told[1]


class Flaky:
    """A way to a relay that is away now and then."""

    def __init__(self, relay: Relay) -> None:
        self.failures = 2
        self.place = relay.place
        self.mark = relay.mark
        self.report = relay.report
        self.redeliver = relay.redeliver
        self.try_endpoint = relay.try_endpoint
        self._follow = relay.follow

    async def follow(self, query: EventQuery, order: int) -> EventPage:
        self.failures -= 1
        if self.failures >= 0:
            raise UnavailableError
        return await self._follow(query, order)


@in_loop
async def test_a_relay_that_is_away_for_a_while_ends_no_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.events.stream.RETRY_SECONDS", 0.0)
    world = World()
    world.happen("ann", 2)
    async with world.relaying() as relay:
        found: list[EventRecord] = []
        async for page in pages(Flaky(relay), EventQuery(BEGINNING), 0):
            found += page.events
            if len(found) == 2:
                break

    assert [record.user_id for record in found] == ["ann", "ann"]


@in_loop
async def test_a_program_that_takes_its_time_does_not_lose_its_relay() -> None:
    world = World()
    spent: list[float] = []
    world.happen("ann", 1)
    async with world.relaying() as relay:
        flaky, found = Flaky(relay), 0
        async for page in pages(flaky, EventQuery(BEGINNING), 0, lambda: sum(spent)):
            spent.append(AWAY_SECONDS_MAX + 1)  # It works on the page for so long.
            found += len(page.events)
            if found == 2:
                break
            flaky.failures = 1
            world.happen("ann", 1)

    assert found == 2


@in_loop
async def test_the_report_names_what_is_on_its_way() -> None:
    world, handler = World(), NotingHandler("webhook crm")
    handler.gate.clear()
    world.happen("ann")
    async with world.relaying(handler) as relay:
        await until(lambda: handler.in_flight)
        report = await relay.report()

    (undelivered,) = report.undelivered
    assert (undelivered.endpoint, undelivered.user_id) == ("webhook crm", "ann")
    assert report.head == report.undelivered_count == 1


@in_loop
async def test_a_relay_that_is_closed_gives_no_more_places() -> None:
    world = World()
    async with world.relaying() as relay:
        await relay.place(None)
        await relay.close()
        world.happen("ann")

        assert world.events.number(10)


@in_loop
async def test_the_relay_looks_less_often_where_nothing_happens() -> None:
    world = World()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await yielding(seconds)

    async with world.relaying(sleep=sleep) as relay:
        await relay.place(None)
        await until(lambda: len(pauses) > 3)
        quiet = set(pauses)
        world.happen("ann")
        await until(lambda: world.events.head() == 1)
        await until(lambda: pauses[-1] == POLL_SECONDS)

    assert quiet == {QUIET_POLL_SECONDS}


@in_loop
async def test_of_many_events_so_many_get_their_places_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.events.relay.NUMBERED_MAX", 2)
    world, pages = World(), []
    world.happen("ann", 5)
    give = world.events.number

    def number(limit: int) -> Sequence[OrderedEvent]:
        pages.append(len(found := give(limit)))
        return found

    monkeypatch.setattr(world.events, "number", number)
    async with world.relaying():
        await until(lambda: world.events.head() == 5)

    assert pages[:3] == [2, 2, 1]
