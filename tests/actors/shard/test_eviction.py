"""What a shard has in its RAM of a user who was made anonymous: nothing."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from actors.mongo.accounts.store import MongoStore
from actors.mongo.accounts.warm_reader import WarmReader
from actors.protocol.calls import Call, Outcome
from domain.holds import PlaceHold
from domain.values import Credits, UserId
from tests.builders.authors import NOON
from tests.fakes.anonymous_world import BOB, TEXT, anonymize, live, world
from tests.fakes.setups import ALL_SLOTS, MongoSetup
from tests.fakes.shards import Clock, ask_one, charge_call, credit_call, in_loop, running, status
from tests.traces import Forms, paths

OURS = ("actors.", "domain.")


def held(thing: Any, seen: dict[int, Any]) -> Iterator[str]:
    """Yield every text that can be reached from an object through what is ours.

    What was `seen` is kept, by its id: else another object could get that id.
    """
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    if isinstance(thing, str | bytes):
        yield thing if isinstance(thing, str) else thing.decode("latin-1")
    for part in parts_of(thing):
        yield from held(part, seen)


def parts_of(thing: Any) -> Iterator[Any]:
    """Yield what an object holds."""
    if isinstance(thing, dict):
        yield from list(thing.items())
    if isinstance(thing, list | tuple | set | frozenset | deque):
        yield from list(thing)
    kind = type(thing)
    if kind.__module__.startswith(OURS):
        names = [n for c in kind.__mro__ for n in getattr(c, "__slots__", ())]
        yield from (getattr(thing, n, None) for n in (*names, *getattr(thing, "__dict__", {})))


def named_in(thing: Any, user: str) -> list[str]:
    forms = Forms.of(user)
    return [text for text in held(thing, {}) if [*paths(text, forms)]]


@in_loop
async def test_nothing_in_ram_names_the_user_afterwards(mongo: MongoSetup) -> None:
    async with world(mongo, TEXT, BOB) as (shard, jobs, _):
        await status(shard, TEXT)
        assert named_in(shard, TEXT)

        await anonymize(jobs, TEXT)

        assert named_in(shard, TEXT) == []
        assert named_in(mongo.store, TEXT) == []
        assert named_in(shard, BOB)


@in_loop
async def test_an_account_that_is_fenced_is_not_warmed_up(embedded: MongoSetup) -> None:
    async with world(embedded, TEXT, BOB):
        fenced = {"$set": {"fenced": "anm_1"}}
        embedded.database.allotment_accounts.update_one({"_id": TEXT}, fenced)

        pages = WarmReader(embedded.database).pages(ALL_SLOTS, NOON)

        assert [user for page in pages for user in page.accounts] == [BOB]


@in_loop
async def test_a_hold_whose_user_was_let_go_is_not_expired_under_the_old_name(
    mongo: MongoSetup,
) -> None:
    store, clock = mongo.store, Clock(NOON)
    assert isinstance(store, MongoStore)
    async with running(store, clock=clock) as shard:
        await ask_one(shard, credit_call(TEXT, 900, 10))
        hold = PlaceHold(UserId(TEXT), "chat", Credits(5), 60)
        await ask_one(shard, Call(hold, "h", keep_refusal=True))
        shard.accounts.open_holds.let_go(UserId(TEXT))
        clock.advance(seconds=61)

        shard.expiry.look()

        assert len(shard.inbox) == 0


@in_loop
async def test_others_of_a_batch_are_served_while_one_is_fenced(mongo: MongoSetup) -> None:
    store = mongo.store
    assert isinstance(store, MongoStore)
    async with running(store, clock=Clock(NOON)) as shard:
        for user in (TEXT, BOB):
            await live(shard, user)
        fenced = {"$set": {"fenced": "anm_1"}}
        mongo.database.allotment_accounts.update_one({"_id": TEXT}, fenced)
        shard.accounts.forget(UserId(TEXT))

        (refused, served) = [
            await ask_one(shard, charge_call(user, 1, "while fenced")) for user in (TEXT, BOB)
        ]

    assert (refused.outcome, served.outcome) == (Outcome.UNAVAILABLE, Outcome.DONE)
    assert shard.counters.journal_gaps == 0
    mark = mongo.database.allotment_accounts.find_one({"_id": TEXT})
    assert mark is not None
    assert "unreadable" not in mark
