"""Holds that nobody's RAM knows are expired by the janitor, once, and the rules know holds."""

from datetime import timedelta

from actors.janitor.hold_expiry import HoldsExpiry
from actors.mongo.jobs.overdue import MongoOverdue
from actors.mongo.jobs.store import MongoJobStore
from actors.protocol.reports import Findings
from actors.shard.shard import Shard
from domain.holds import PlaceHold
from domain.values import Credits, UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.expiry import ToShard
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, in_loop, running

CAT = UserId("65f0a1b2c3d4e5f601234567")
ONE_DAY = timedelta(days=1)


def with_hold(mongo: MongoSetup, user_id: str, *, days: int = 30, seconds: int = 60) -> None:
    author = Author(user_id)
    placing = PlaceHold(UserId(user_id), "chat", Credits(40), seconds)
    write(mongo.store, [author.add(3000, days), author.do(placing)])


def job(mongo: MongoSetup, shard: Shard, clock: Clock) -> HoldsExpiry:
    return HoldsExpiry(MongoOverdue(mongo.database), ToShard(shard), clock)


def held(mongo: MongoSetup) -> dict[str, int]:
    return {day["user_id"]: day["credits_held"] for day in mongo.documents("dailycredits")}


@in_loop
async def test_overdue_holds_are_expired_wherever_their_users_are(mongo: MongoSetup) -> None:
    with_hold(mongo, "ann")
    with_hold(mongo, CAT)
    with_hold(mongo, "open", seconds=86_400)
    with_hold(mongo, "ended", days=1, seconds=86_000)
    clock = Clock(NOON + timedelta(seconds=86_000))
    async with running(mongo.store, clock=clock) as shard:
        first = await job(mongo, shard, clock).run(NOON)
        await shard.settle()
        second = await job(mongo, shard, clock).run(NOON)

    assert first == Findings(checked=3, holds_expired=3)
    assert second == Findings()
    assert held(mongo) == {"ann": 0, CAT: 0, "open": 40, "ended": 0}


@in_loop
async def test_days_of_others_that_name_no_readable_hold_hold_nobody_up(mongo: MongoSetup) -> None:
    with_hold(mongo, "ann")
    foreign = {"date": NOON, "subscription_id": "s", "holds_until": NOON}
    mongo.insert("dailycredits", _id="one", **foreign)
    mongo.insert("dailycredits", _id="two", **foreign | {"subscription_id": "t", "user_id": 7})
    clock = Clock(NOON + ONE_DAY)
    async with running(mongo.store, clock=clock) as shard:
        found = await job(mongo, shard, clock).run(NOON)

    assert found == Findings(checked=3, holds_expired=1, quarantined=2)


def test_pages_go_on_where_they_ended(mongo: MongoSetup) -> None:
    for number in range(7):
        with_hold(mongo, f"user-{number}", seconds=60 + number // 3)
    overdue, cursor, names, pages = MongoOverdue(mongo.database), None, [], 0
    while pages == 0 or cursor is not None:
        page = overdue.overdue_holds(NOON + ONE_DAY, 2, cursor)
        names += [hold.user_id for hold in page.items]
        cursor, pages = page.cursor, pages + 1

    assert sorted(names) == [f"user-{number}" for number in range(7)]
    assert pages >= 4


def test_held_credits_that_are_not_the_sum_of_the_holds_break_a_rule(mongo: MongoSetup) -> None:
    with_hold(mongo, "ann")
    with_hold(mongo, CAT)
    job_store = MongoJobStore(mongo.database, "UTC")
    before = job_store.check(None)
    mongo.change("dailycredits", {"user_id": CAT}, credits_held=41)

    assert before == Findings(checked=2)
    assert job_store.check(None) == Findings(checked=2, invariants_broken=1, users=[CAT])
