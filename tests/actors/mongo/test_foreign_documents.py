"""Other programs write the same documents at any time, and write anything into them."""

import asyncio
from datetime import timedelta

import pytest
from bson import DatetimeMS

from domain.values import UserId
from tests.builders.authors import NOON, Author, usage_id_of, use, write
from tests.fakes.setups import MongoSetup, Setup
from tests.fakes.shards import ask, charge_call, credit_call, in_loop, running, status

ANN = UserId("ann")
BOB = UserId("bob")
CAT = UserId("65f0a1b2c3d4e5f601234567")
"""24 hex digits: an ObjectId in MongoDB."""
FOREIGN = "65f0a1b2c3d4e5f601234500"
USERS = pytest.mark.parametrize("user_id", [ANN, CAT])


def mark(setup: Setup, user_id: UserId) -> int:
    return setup.store.load([user_id], NOON)[0].applied_seq


def test_another_programs_edit_of_credits_used_survives(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(), author.use(30)])
    setup.change("dailycredits", {"user_id": ANN}, credits_used=50, note="corrected by hand")

    write(setup.store, [author.use(4)])

    day = setup.document("dailycredits")
    assert (day["credits_used"], day["note"]) == (54, "corrected by hand")


def test_another_programs_edit_of_the_totals_survives(setup: Setup) -> None:
    author = Author(CAT)
    write(setup.store, [author.add()])
    setup.change(
        "subscriptions", {"user_id": CAT}, spendable_credits=3700, total_credits=4000, plan="gold"
    )

    write(setup.store, [author.add(1000, 10, "t-2")])

    document = setup.document("subscriptions")
    assert (document["spendable_credits"], document["total_credits"]) == (4600, 5000)
    assert (document["system_portion"], document["plan"]) == (400, "gold")


def test_another_programs_later_end_survives(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    later = NOON + timedelta(days=400)
    setup.change("subscriptions", {"user_id": ANN}, end_date=later, status="past_due")

    write(setup.store, [author.add(10, 60, "t-2")])

    document = setup.document("subscriptions")
    assert (document["end_date"], document["status"]) == (later, "past_due")


def test_a_day_that_another_program_made_is_taken_up(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    subscription_id = setup.document("subscriptions")["_id"]
    setup.remove("dailycredits", user_id=ANN)
    setup.insert(
        "dailycredits",
        _id="65f0a1b2c3d4e5f601234501",
        subscription_id=subscription_id,
        user_id=ANN,
        date=NOON.replace(hour=0),
        credits_used=7,
    )

    write(setup.store, [author.use(4)])

    assert setup.document("dailycredits")["credits_used"] == 11


def test_a_day_without_user_that_another_program_made_keeps_its_id_and_stays_without_user(
    setup: Setup,
) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    subscription_id = setup.document("subscriptions")["_id"]
    setup.remove("dailycredits", user_id=ANN)
    day_id = "65f0a1b2c3d4e5f601234501"
    setup.insert(
        "dailycredits",
        _id=day_id,
        subscription_id=subscription_id,
        date=NOON.replace(hour=0),
        credits_used=7.0,
    )

    write(setup.store, [author.use(4)])

    day = setup.document("dailycredits")
    assert (day["_id"], day["credits_used"]) == (day_id, 11)
    assert "user_id" not in day


def test_views_of_a_subscription_that_another_program_removed_are_written(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    setup.remove("subscriptions", user_id=ANN)

    write(setup.store, [author.use(4), author.add(10, 10, "t-2")])

    assert mark(setup, ANN) == 3
    assert setup.documents("subscriptions") == []


def test_every_write_of_ours_changes_the_revision(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    revisions = [(_revision(setup, "subscriptions"), _revision(setup, "dailycredits"))]

    for entry in (author.use(4), author.add(10, 10, "t-2"), author.use(1)):
        write(setup.store, [entry])
        revisions.append((_revision(setup, "subscriptions"), _revision(setup, "dailycredits")))

    assert [subscription for subscription, _ in revisions] == [1, 1, 2, 2]
    assert len({day for _, day in revisions}) == 4


def _revision(setup: Setup, collection: str) -> int:
    revision: int = setup.document(collection)["revision"]
    return revision


@pytest.mark.parametrize(
    "amounts",
    [
        {"total_credits": 1000.0, "spendable_credits": 900.0},
        {"total_credits": 1000, "system_portion": 100},
        {"system_portion": 100.0, "spendable_credits": 900, "total_credits": None},
    ],
    ids=["without system_portion", "without spendable_credits", "without total_credits"],
)
@USERS
def test_credits_added_to_a_foreign_subscription_write_its_implied_grant_out(
    setup: Setup, user_id: UserId, amounts: dict[str, object]
) -> None:
    setup.insert(
        "subscriptions",
        _id=FOREIGN,
        user_id=user_id,
        start_date=NOON.replace(hour=0),
        end_date=NOON.replace(hour=0) + timedelta(days=10),
        status="active",
        **amounts,
    )
    author = Author.of(setup.store.load([user_id], NOON)[0])

    write(setup.store, [author.use(50), author.add(3000, 30)])

    document = setup.document("subscriptions")
    implied, ours = document["grants"]
    assert (document["total_credits"], document["spendable_credits"]) == (4000, 3600)
    assert document["system_portion"] == 400
    assert (implied["amount"], implied["from_day"], implied["days"]) == (900, "2026-03-10", 10)
    assert ours["amount"] == 3000
    assert document["revision"] >= 1
    assert Author.of(setup.store.load([user_id], NOON)[0]).account == author.account


def test_an_unreadable_subscription_is_left_untouched(setup: Setup) -> None:
    unreadable = {"_id": FOREIGN, "user_id": ANN, "status": "active", "total_credits": "lots"}
    setup.insert("subscriptions", **unreadable)
    author = Author.of(setup.store.load([ANN], NOON)[0])

    write(setup.store, [author.do(use(ANN, 5)), author.add()])

    assert setup.document("subscriptions", _id=FOREIGN) == unreadable
    assert len(setup.documents("subscriptions")) == 2


# --- one program's odd document must not be another user's trouble ------------------------


@in_loop
async def test_a_foreign_date_beyond_the_year_9999_is_quarantined(embedded: MongoSetup) -> None:
    embedded.insert(
        "subscriptions",
        _id=FOREIGN,
        user_id=ANN,
        start_date=NOON,
        end_date=DatetimeMS(8_640_000_000_000_000),  # The last date of JavaScript.
        total_credits=100,
        system_portion=0,
        status="active",
    )
    async with running(embedded.store) as shard:
        assert (await status(shard, ANN)).status == "none"
        assert shard.counters.quarantined == 1


@pytest.mark.parametrize("applied_seq", ["x", 1.5, None, 99])
@in_loop
async def test_a_foreign_document_with_any_mark_is_answered(
    mongo: MongoSetup, applied_seq: object
) -> None:
    mongo.insert(
        "subscriptions",
        _id=FOREIGN,
        user_id=ANN,
        start_date=NOON,
        end_date=NOON + timedelta(days=10),
        total_credits=100,
        system_portion=0,
        status="active",
        applied_seq=applied_seq,
    )
    async with running(mongo.store) as shard:
        assert (await status(shard, ANN)).daily_credit_limit == 10


@pytest.mark.parametrize("credits_used", ["many", None])
@in_loop
async def test_a_day_that_cannot_be_raised_holds_up_nobody_else(
    embedded: MongoSetup, credits_used: object
) -> None:
    write(embedded.store, [Author(ANN).add()])
    embedded.change("dailycredits", {"user_id": ANN}, credits_used=credits_used)
    async with running(embedded.store) as shard:
        await ask(shard, charge_call(ANN, 1, "k"), credit_call(BOB, 100))

        async with asyncio.timeout(1.0):
            await shard.settle(BOB)

    assert mark(embedded, BOB) == 1


@in_loop
async def test_a_usage_record_that_is_there_already_holds_up_nobody_else(
    embedded: MongoSetup,
) -> None:
    entries = [(author := Author(ANN)).add(), author.use(1)]
    embedded.store.append(entries)
    embedded.insert("usages", _id=usage_id_of(entries[1]), user_id=ANN, timestamp=NOON)
    async with running(embedded.store) as shard:
        await status(shard, ANN)
        await ask(shard, credit_call(BOB, 100))

        async with asyncio.timeout(1.0):
            await shard.settle(BOB)

    assert mark(embedded, BOB) == 1
