"""Packs that have expired are written down, once, wherever their users are; and their holds."""

from datetime import timedelta

from actors.janitor.hold_expiry import HoldsExpiry
from actors.janitor.pack_expiry import EndedPack, PacksExpiry
from actors.mongo.jobs.ended_packs import MongoEndedPacks
from actors.mongo.jobs.overdue import MongoOverdue
from actors.protocol.reports import Findings
from actors.shard.shard import Shard
from domain.holds import PlaceHold
from domain.values import Credits, UserId
from tests.builders.authors import NOON, Author, add_pack, write
from tests.fakes.expiry import ToShard
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, in_loop, running

ANN, BOB, EVE = UserId("ann"), UserId("bob"), UserId("eve")
CAT = UserId("65f0a1b2c3d4e5f601234567")
HOUR = timedelta(hours=1)


def with_pack(mongo: MongoSetup, user_id: str, hours: int | None, used: int = 0) -> None:
    author = Author(user_id)
    expires_at = None if hours is None else NOON + hours * HOUR
    entries = [author.do(add_pack(user_id, 1000, expires_at=expires_at))]
    write(mongo.store, [*entries, author.use(used)])


def expiry(mongo: MongoSetup, shard: Shard, clock: Clock) -> PacksExpiry:
    return PacksExpiry(MongoEndedPacks(mongo.database), ToShard(shard), clock)


def lapsed(mongo: MongoSetup) -> dict[str, int | None]:
    return {pack["user_id"]: pack.get("lapsed_credits") for pack in mongo.documents("packs")}


def told(mongo: MongoSetup) -> list[tuple[str, int]]:
    return sorted(
        (event["user_id"], event["data"]["lapsed_credits"])
        for event in mongo.documents("allotment_events")
        if event["type"] == "pack.expired"
    )


@in_loop
async def test_what_has_expired_is_written_down_and_nothing_else(mongo: MongoSetup) -> None:
    with_pack(mongo, ANN, 1)
    with_pack(mongo, CAT, 2, 300)
    with_pack(mongo, BOB, 3)
    with_pack(mongo, EVE, None)
    foreign = {"amount": 10, "system_portion": 1, "expires_at": NOON}
    mongo.insert("packs", _id="gift", user_id="dan", **foreign)
    mongo.insert("packs", _id="odd", user_id="dan", **foreign | {"amount": "ten"})
    mongo.insert("packs", _id="of nobody", **foreign)
    clock = Clock(NOON + 2 * HOUR)
    async with running(mongo.store, clock=clock) as shard:
        first = await expiry(mongo, shard, clock).run(clock())
        await shard.settle()
        second = await expiry(mongo, shard, clock).run(clock())

    assert first == Findings(checked=5, expired=3, quarantined=2)
    assert second == Findings(checked=2, quarantined=2)
    packs = mongo.documents("packs")
    assert {p["_id"]: p["lapsed_credits"] for p in packs if "lapsed_credits" in p} == {
        "gift": 9,
        **{p["_id"]: 900 for p in packs if p.get("user_id") == ANN},
        **{p["_id"]: 600 for p in packs if p.get("user_id") == CAT},
    }
    assert told(mongo) == [(CAT, 600), (ANN, 900), ("dan", 9)]


@in_loop
async def test_an_expiry_that_another_program_moves_comes_again(mongo: MongoSetup) -> None:
    with_pack(mongo, ANN, 1)
    clock = Clock(NOON + HOUR)
    async with running(mongo.store, clock=clock) as shard:
        await expiry(mongo, shard, clock).run(clock())
        await shard.settle()
        for moved in (NOON + 5 * HOUR, NOON + HOUR):  # Later, and back to where it was.
            mongo.change("packs", {"user_id": ANN}, expires_at=moved)
            shard.accounts.forget(ANN)
            clock.now = NOON + 6 * HOUR
            found = await expiry(mongo, shard, clock).run(clock())
            await shard.settle()
            again = await expiry(mongo, shard, clock).run(clock())

            assert (found.expired, again.expired) == (1, 0)
            assert mongo.document("packs")["expired_at"] == moved
    assert len(told(mongo)) == 3


def test_pages_go_on_where_they_ended(mongo: MongoSetup) -> None:
    for number in range(7):
        with_pack(mongo, f"user-{number}", 1 + number // 3)
    mongo.change("packs", {"user_id": "user-5"}, expired_at=NOON)
    packs, cursor, found, pages = MongoEndedPacks(mongo.database), None, list[EndedPack](), 0
    while pages == 0 or cursor is not None:
        page = packs.ended_packs(NOON + 3 * HOUR, 2, cursor)
        found += page.items
        cursor, pages = page.cursor, pages + 1

    assert sorted(pack.user_id for pack in found) == [f"user-{number}" for number in range(7)]


@in_loop
async def test_overdue_holds_of_packs_are_expired_wherever_their_users_are(
    mongo: MongoSetup,
) -> None:
    """In a pack alone, and in a day and a pack."""
    for user_id, entries in ((ANN, []), (CAT, ["subscription"]), (BOB, [])):
        author = Author(user_id)
        made = [author.add()] if entries else []
        made.append(author.do(add_pack(user_id, 1000)))
        seconds = 60 if user_id != BOB else 7200
        made.append(author.do(PlaceHold(user_id, "chat", Credits(400), seconds)))
        write(mongo.store, made)
    clock = Clock(NOON + HOUR)
    async with running(mongo.store, clock=clock) as shard:
        job = HoldsExpiry(MongoOverdue(mongo.database), ToShard(shard), clock)
        first = await job.run(NOON)
        await shard.settle()
        second = await job.run(NOON)

    assert (first.holds_expired, second) == (2, Findings())
    held = {pack["user_id"]: pack["credits_held"] for pack in mongo.documents("packs")}
    assert held == {ANN: 0, CAT: 0, BOB: 400}
    assert mongo.document("dailycredits")["credits_held"] == 0


def test_overdue_holds_of_packs_are_read_after_those_of_days(mongo: MongoSetup) -> None:
    for number in range(5):
        author = Author(f"user-{number}")
        made = [author.add()] if number % 2 else []
        made.append(author.do(add_pack(f"user-{number}", 1000)))
        made.append(author.do(PlaceHold(UserId(f"user-{number}"), "chat", Credits(400), 60)))
        write(mongo.store, made)
    overdue, cursor, names, pages = MongoOverdue(mongo.database), None, [], 0
    while pages == 0 or cursor is not None:
        page = overdue.overdue_holds(NOON + HOUR, 2, cursor)
        names += [(hold.user_id, hold.subscription_id is None) for hold in page.items]
        cursor, pages = page.cursor, pages + 1

    of_days = [("user-1", False), ("user-3", False)]
    assert sorted(names) == sorted([*of_days, *((f"user-{n}", True) for n in range(5))])
