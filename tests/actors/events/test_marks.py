"""Marks: a stream that has told no event yet can be resumed where it began."""

import itertools

import pytest

from actors.events.marks import OwnPlace, mark_of_all, mark_of_own, read_own, read_place
from actors.events.records import EventQuery
from actors.events.relay import Relay, UnknownEventError
from domain.values import UserId
from tests.fakes.consumer_world import World
from tests.fakes.shards import in_loop, until

ANN, EVE = UserId("ann"), UserId("eve")
FOLLOWERS = [None, ANN, EVE]
NONE_OF_OURS = [
    *("at_", "at_-1", "at_+1", "at_1_0", "at_\u0661", "at_01", "at_99", "at_1 ", " at_1"),
    *("own_", "own_1", "own_1.", "own_.1", "own_-1.0", "own_01.0", "own_1.0.0", "own_1.\u0661"),
]


def given(relay: Relay) -> int:
    """Return the last place that the relay knows it has given: the store has it a moment before."""
    return relay._feed.newest


async def told_after(relay: Relay, user_id: UserId | None, order: int, count: int) -> list[str]:
    query, ids = EventQuery(None, user_id=user_id), list[str]()
    while len(ids) < count:
        page = await relay.follow(query, order)
        order, ids = page.order, [*ids, *(event.id for event in page.events)]
    return ids


@pytest.mark.parametrize("user_id", FOLLOWERS)
@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("tail_length", [0, 5_000])
@in_loop
async def test_what_came_after_a_mark_comes_once_whoever_follows(
    monkeypatch: pytest.MonkeyPatch, user_id: UserId | None, before: int, tail_length: int
) -> None:
    monkeypatch.setattr("actors.events.feed.TAIL_LENGTH", tail_length)
    world = World()
    for _ in range(before):
        world.happen("ann")
        world.happen("bob")
    async with world.relaying() as relay:
        await until(lambda: given(relay) == 2 * before)
        began = await relay.place(None, user_id)
        mark = await relay.mark(began, user_id)
        world.happen("bob")
        for user in ("ann", "eve", "bob"):
            world.happen(user)
        await until(lambda: given(relay) == 2 * before + 4)
        expected = [
            event.record.id
            for event in world.events.after(began, 100)
            if user_id in (None, event.record.user_id)
        ]
        resumed = await told_after(relay, user_id, await relay.place(mark, user_id), len(expected))

    assert resumed == expected
    assert expected


@in_loop
async def test_a_users_mark_stands_where_its_event_was_removed() -> None:
    world = World()
    world.happen("ann", 2)
    async with world.relaying() as relay:
        await until(lambda: given(relay) == 2)
        mark = await relay.mark(2, ANN)
        for name in list(world.events.documents):
            del world.events.documents[name]
        quiet = await relay.place(mark, ANN)
        world.happen("ann")
        await until(lambda: given(relay) == 3)
        (resumed,) = await told_after(relay, ANN, await relay.place(mark, ANN), 1)

    assert quiet == 2
    assert resumed == next(iter(world.events.documents))


@in_loop
async def test_a_mark_of_all_is_too_old_where_what_followed_it_was_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.events.feed.TAIL_LENGTH", 0)
    world = World()
    world.happen("ann", 3)
    async with world.relaying() as relay:
        await until(lambda: given(relay) == 3)
        second = world.events.after(1, 1)[0].record.id
        del world.events.documents[second]
        with pytest.raises(UnknownEventError):
            await relay.place("at_1")
        assert [await relay.place(f"at_{order}") for order in (0, 2, 3)] == [0, 2, 3]


@in_loop
async def test_a_user_learns_nothing_of_others_and_cannot_use_their_places() -> None:
    world = World()
    world.happen("bob", 7)
    world.happen("ann", 1)
    async with world.relaying() as relay:
        await until(lambda: given(relay) == 8)
        mark = await relay.mark(8, ANN)
        assert read_own(mark) == OwnPlace(1, 0)
        for foreign, user_id in [("at_3", ANN), ("at_0", ANN), (mark, None)]:
            with pytest.raises(UnknownEventError):
                await relay.place(foreign, user_id)


@pytest.mark.parametrize("text", NONE_OF_OURS)
@in_loop
async def test_what_is_no_mark_of_ours_is_refused(text: str) -> None:
    world = World()
    world.happen("ann")
    async with world.relaying() as relay:
        await until(lambda: given(relay) == 1)
        for user_id in (None, ANN):
            with pytest.raises(UnknownEventError):
                await relay.place(text, user_id)


def test_marks_are_read_as_they_are_made() -> None:
    for seq, place in itertools.product((0, 1, 2**53), (0, 1, 40)):
        assert read_own(mark_of_own(seq, place)) == OwnPlace(seq, place)
        assert read_place(mark_of_all(seq)) == seq
