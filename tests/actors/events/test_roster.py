"""Endpoints that come, change and go while events happen, each with its own place."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from actors.events.endpoints import Endpoint, make_endpoint
from actors.events.records import Progress
from actors.events.relay import Relay
from actors.events.roster import Roster, Ways
from tests.builders.authors import NOON
from tests.fakes.consumer_world import World
from tests.fakes.janitor import yielding
from tests.fakes.memory_endpoints import MemoryEndpoints
from tests.fakes.noting_handler import NotingHandler
from tests.fakes.noting_post import NotingPost
from tests.fakes.shards import in_loop, until

URL, OTHER = "https://crm.example/", "https://other.example/"


class Endpoints:
    """The endpoints of a world, and what they are sent."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = MemoryEndpoints(world.events)
        self.posts: list[NotingPost] = []
        self.status: int | None = 204

    def way(self) -> NotingPost:
        post = NotingPost()
        post.status = self.status
        self.posts.append(post)
        return post

    def roster(self) -> Roster:
        ways = Ways(self.way, self.way)
        return Roster(self.store, (), ways, self.world.clock, yielding)

    def make(self, url: str = URL, events: Iterable[str] = ()) -> Endpoint:
        endpoint = make_endpoint(url, events, NOON, enabled=True)
        assert self.store.insert(endpoint, None)
        return endpoint

    def change(self, endpoint: Endpoint, **changes: object) -> Endpoint:
        new = replace(endpoint, version=endpoint.version + 1, **changes)  # type: ignore[arg-type]
        assert self.store.replace(endpoint, new)
        return new

    def users(self, url: str = URL) -> list[str]:
        """Return whose events arrived at an address, repeats left out."""
        seen = {e["id"]: e["user_id"] for post in self.posts for e in post.events_to(url)}
        return list(seen.values())


async def numbered(relay: Relay, count: int) -> None:
    await until(lambda: relay._feed.newest == count)


def done_until(world: World, consumer: str) -> int | None:
    progress = world.events.progress(consumer)
    return None if progress is None else progress.done_until


@in_loop
async def test_one_that_is_made_gets_what_happens_from_then_on() -> None:
    world = World()
    endpoints = Endpoints(world)
    world.happen("before")
    async with world.relaying(roster=endpoints.roster()) as relay:
        await numbered(relay, 1)
        endpoints.make()
        world.happen("after")
        await until(endpoints.users)

    assert endpoints.users() == ["after"]


@in_loop
async def test_what_happens_between_its_making_and_its_first_delivery_is_not_missed() -> None:
    """Also where the relay is away meanwhile."""
    world = World()
    endpoints = Endpoints(world)
    async with world.relaying() as relay:
        world.happen("before")
        await numbered(relay, 1)
    endpoints.make()
    world.happen("meanwhile")
    async with world.relaying(roster=endpoints.roster()):
        await until(endpoints.users)

    assert endpoints.users() == ["meanwhile"]


@in_loop
async def test_a_change_counts_for_what_comes_and_keeps_the_place() -> None:
    world = World()
    endpoints = Endpoints(world)
    endpoint = endpoints.make()
    async with world.relaying(roster=endpoints.roster()) as relay:
        world.happen("ann")
        await until(lambda: done_until(world, endpoint.consumer) == 1)
        endpoints.change(endpoint, url=OTHER)
        await until(lambda: len(endpoints.posts) == 2)
        world.happen("bob")
        await until(lambda: endpoints.users(OTHER))
        assert list(relay.consumers) == [endpoint.consumer]

    assert (endpoints.users(), endpoints.users(OTHER)) == (["ann"], ["bob"])
    assert endpoints.posts[0].closed == 1


@in_loop
async def test_one_that_is_switched_off_gets_nothing_and_then_what_it_missed() -> None:
    world = World()
    endpoints = Endpoints(world)
    endpoint = endpoints.make()
    async with world.relaying(roster=endpoints.roster()) as relay:
        await until(lambda: relay.consumers)
        off = endpoints.change(endpoint, enabled=False)
        await until(lambda: not relay.consumers)
        world.happen("meanwhile", 2)
        await numbered(relay, 2)
        assert endpoints.users() == []
        endpoints.change(off, enabled=True)
        await until(lambda: len(endpoints.users()) == 2)


@in_loop
async def test_one_that_is_off_holds_no_old_event_and_goes_on_with_what_is_left() -> None:
    world, other = World(), NotingHandler()
    endpoints = Endpoints(world)
    off = endpoints.change(endpoints.make(), enabled=False)
    world.happen("ann", 3)
    async with world.relaying(other, roster=endpoints.roster()):
        await until(lambda: done_until(world, other.name) == 3)
        removed = world.events.trim(NOON + timedelta(days=40))
    async with world.relaying(other, roster=endpoints.roster()) as relay:
        on = endpoints.change(off, enabled=True)
        world.happen("bob")
        await until(endpoints.users)
        await until(lambda: done_until(world, on.consumer) == 4)
        assert relay.lag_of(relay.consumers[on.consumer]) == 0

    assert removed == 3
    assert endpoints.users() == ["bob"]


@in_loop
async def test_one_that_missed_all_there_was_waits_for_what_comes() -> None:
    world, other = World(), NotingHandler()
    endpoints = Endpoints(world)
    off = endpoints.change(endpoints.make(), enabled=False)
    world.happen("ann", 3)
    async with world.relaying(other, roster=endpoints.roster()):
        await until(lambda: done_until(world, other.name) == 3)
        world.events.trim(NOON + timedelta(days=40))
    on = endpoints.change(off, enabled=True)
    async with world.relaying(other, roster=endpoints.roster()) as relay:
        await until(lambda: done_until(world, on.consumer) == 3)
        assert relay.lag_of(relay.consumers[on.consumer]) == 0
        world.happen("bob")
        await until(endpoints.users)

    assert endpoints.users() == ["bob"]


@in_loop
async def test_an_event_that_one_read_misses_is_not_passed_over() -> None:
    """It is being renamed: what reads the order of events meanwhile may see neither name."""
    world, handler = World(), NotingHandler()
    world.happen("ann", 3)
    world.events.number(10)
    missed = [e for e in world.events.after(0, 10) if e.order != 2]
    answers = [missed]
    read_all = world.events.after
    world.events.after = lambda *a: answers.pop() if answers else read_all(*a)  # type: ignore[method-assign]
    world.events.keep(handler.name, Progress())
    async with world.relaying(handler):
        await until(lambda: len(handler.taken) == 3)

    assert (handler.orders, answers) == ([1, 2, 3], [])


@given(
    st.integers(0, 5),
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 6)), max_size=12),
)
def test_places_that_are_passed_over_count_as_those_that_are_finished(
    done_until: int, ranges: list[tuple[int, int]]
) -> None:
    by_range, one_by_one = Progress(done_until), Progress(done_until)
    for first, more in ranges:
        by_range.pass_over(first, first + more)
        for order in range(first, first + more + 1):
            one_by_one.finish(order)

    assert by_range == one_by_one


@in_loop
async def test_one_that_is_on_holds_what_it_has_not_got() -> None:
    world, other = World(), NotingHandler()
    endpoints = Endpoints(world)
    endpoints.status = 500
    endpoints.make()
    world.happen("ann", 3)
    async with world.relaying(other, roster=endpoints.roster()):
        await until(lambda: done_until(world, other.name) == 3)
        removed = world.events.trim(NOON + timedelta(days=40))

    assert removed == 0


@in_loop
async def test_one_that_is_removed_leaves_nothing_behind() -> None:
    world = World()
    endpoints = Endpoints(world)
    endpoints.status = 400
    endpoint = endpoints.make()
    world.happen("ann")
    async with world.relaying(roster=endpoints.roster()) as relay:
        await until(lambda: world.events.count_dead() == 1)
        endpoints.store.remove(endpoint.endpoint_id)
        await until(lambda: not relay.consumers)
        world.happen("bob")
        await numbered(relay, 2)
        report = await relay.report()

    assert (report.endpoints, report.dead, report.undelivered) == ([], [], [])
    assert world.events.progress(endpoint.consumer) is None
    assert endpoints.posts[0].closed == 1


@in_loop
async def test_while_the_database_is_away_those_known_last_go_on() -> None:
    world = World()
    endpoints = Endpoints(world)
    endpoints.make()
    async with world.relaying(roster=endpoints.roster()) as relay:
        await until(lambda: relay.consumers)
        endpoints.store.away = True
        world.happen("ann")
        await until(endpoints.users)

    assert endpoints.users() == ["ann"]


@in_loop
async def test_an_endpoint_in_trouble_delays_no_other() -> None:
    world = World()
    endpoints = Endpoints(world)
    endpoints.status = None
    troubled = endpoints.make()
    async with world.relaying(roster=endpoints.roster()) as relay:
        await until(lambda: relay.consumers)
        endpoints.status = 204
        endpoints.make(OTHER)
        await until(lambda: len(relay.consumers) == 2)
        world.happen("ann", 3)
        await until(lambda: len(endpoints.users(OTHER)) == 3)
        health = {one.endpoint: one for one in (await relay.report()).endpoints}

    assert health[troubled.consumer].undelivered == 3
