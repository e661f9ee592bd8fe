"""Subscriptions whose end has passed are expired, once, wherever their users are."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from actors.janitor.expiry import ENDED_PAGE, Ended, Expiry, Page
from actors.mongo.jobs.ended import MongoEnded
from actors.protocol.calls import UNAVAILABLE, Call, Reply
from actors.protocol.errors import UnavailableError
from actors.protocol.reports import Findings
from domain.values import UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.expiry import expiry
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, in_loop, running

ONE_DAY = timedelta(days=1)
LATER = NOON + 9 * ONE_DAY


def foreign(user_id: str, end: datetime, status: str = "active") -> dict[str, object]:
    return {
        "_id": f"of {user_id}",
        "user_id": user_id,
        "start_date": NOON - ONE_DAY,
        "end_date": end,
        "total_credits": 10.0,
        "spendable_credits": 9.0,
        "status": status,
    }


def statuses(setup: MongoSetup) -> dict[str, str]:
    return {d["user_id"]: d["status"] for d in setup.documents("subscriptions")}


@in_loop
async def test_what_has_ended_is_expired_and_nothing_else(mongo: MongoSetup) -> None:
    write(mongo.store, [Author("short").add(days=1), Author("long").add(days=90)])
    for status in ("active", "past_due", "paused", "cancelled", "expired"):
        mongo.insert("subscriptions", **foreign(status, NOON, status))
    mongo.insert("subscriptions", **foreign("odd", NOON) | {"start_date": "yesterday"})
    mongo.database.subscriptions.insert_one(foreign("text", NOON) | {"_id": "a" * 24})
    clock = Clock(LATER)
    async with running(mongo.store, clock=clock) as shard:
        job = expiry(mongo, shard, clock)

        first = await job.run(LATER)
        await shard.settle()
        second = await job.run(LATER)

    assert first == Findings(checked=6, expired=5, quarantined=1)
    assert second == Findings(checked=1, quarantined=1)
    assert statuses(mongo) == {
        "short": "expired",
        "long": "active",
        "active": "expired",
        "past_due": "expired",
        "paused": "expired",
        "cancelled": "cancelled",
        "expired": "expired",
        "odd": "active",
        "text": "expired",
    }


@in_loop
async def test_two_runs_at_once_expire_once(mongo: MongoSetup) -> None:
    write(mongo.store, [Author("ann").add(days=1)])
    clock = Clock(LATER)
    async with running(mongo.store, clock=clock, views=False) as shard:
        job = expiry(mongo, shard, clock)

        found = [await job.run(LATER), await job.run(LATER)]

    assert [f.expired for f in found] == [1, 0]
    assert len(mongo.documents("allotment_journal")) == 2


@in_loop
async def test_one_that_another_program_makes_current_again_expires_again(
    mongo: MongoSetup,
) -> None:
    mongo.insert("subscriptions", **foreign("ann", NOON))
    clock = Clock(LATER)
    async with running(mongo.store, clock=clock) as shard:
        job = expiry(mongo, shard, clock)
        await job.run(LATER)
        await shard.settle()
        mongo.change("subscriptions", {"user_id": "ann"}, status="active")

        found = await job.run(LATER + ONE_DAY)
        await shard.settle()

    assert found.expired == 1
    assert statuses(mongo) == {"ann": "expired"}


@in_loop
async def test_more_than_one_page_of_one_end_are_all_expired(mongo: MongoSetup) -> None:
    count = ENDED_PAGE + 7
    for index in range(count):
        mongo.insert("subscriptions", **foreign(f"u-{index}", NOON))
    clock = Clock(LATER)
    async with running(mongo.store, clock=clock) as shard:
        found = await expiry(mongo, shard, clock).run(LATER)
        await shard.settle()

    assert found == Findings(checked=count, expired=count)
    assert set(statuses(mongo).values()) == {"expired"}


def test_pages_name_every_ended_subscription_once(mongo: MongoSetup) -> None:
    for index in range(23):
        end = NOON + timedelta(minutes=index // 5)
        status = ["active", "paused"][index % 2]
        mongo.insert("subscriptions", **foreign(f"u-{index}", end, status))
    reads, names, cursor = MongoEnded(mongo.database, "UTC"), [], None
    while True:
        page = reads.ended(NOON + timedelta(minutes=3), 3, cursor)
        names += [ended.user_id for ended in page.items]
        cursor = page.cursor
        if cursor is None:
            break

    assert sorted(names) == sorted(f"u-{index}" for index in range(20))


class OnePage:
    def ended(self, now: datetime, limit: int, cursor: object | None) -> Page[Ended]:
        return Page([Ended(UserId("ann"), "s", NOON)], 0, None)


class Lost:
    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        return [UNAVAILABLE for _ in calls]


@in_loop
async def test_a_run_whose_shard_is_away_has_failed() -> None:
    with pytest.raises(UnavailableError):
        await Expiry(OnePage(), Lost(), Clock(LATER)).run(LATER)
