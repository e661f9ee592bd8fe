"""What is read of every BSON type in every field, and that no type frees what was charged."""

from datetime import timedelta
from typing import Any

import pytest
from bson import Decimal128, Int64

from actors.mongo.jobs.invariants import MongoInvariants
from actors.protocol.calls import Outcome
from actors.protocol.queries import UsageQuery
from domain.usage_facts import KINDS
from domain.values import UserId
from tests.builders.authors import NOON, Author, write
from tests.builders.bson_types import MIDNIGHT, MISSING, TYPES, outcomes, table, written
from tests.builders.id_types import forgotten
from tests.fakes.comparison import compare
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, ask_one, charge_call, credit_call, in_loop, running, status

ANN = UserId("ann")
READ_AS_7 = {"int", "long", "whole double", "whole Decimal128"}


def edit_day(setup: MongoSetup, field: str, kind: str) -> None:
    """Put a value of a type into the one day there is, as another program would."""
    value = TYPES[kind]
    update = {"$unset": {field: ""}} if value is MISSING else {"$set": {field: value}}
    assert setup.database.dailycredits.update_one({}, update).matched_count == 1


def test_what_is_read_is_what_the_docs_say(embedded: MongoSetup) -> None:
    # Where this fails, `python -m tests.builders.bson_types` writes what is read now.
    assert table(outcomes(embedded)) == written()


# --- days of ours -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(TYPES.keys() - READ_AS_7))
@in_loop
async def test_what_was_charged_counts_whatever_becomes_of_the_day(
    embedded: MongoSetup, kind: str
) -> None:
    async with running(embedded.store) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        await ask_one(shard, charge_call(ANN, 60, "k-1"))
        await shard.settle()
        edit_day(embedded, "credits_used", kind)
        await forgotten(shard)
        refused = await ask_one(shard, charge_call(ANN, 31, "k-2"))
        assert shard.counters.quarantined == 1
        named = MongoInvariants(embedded.database, "UTC").check(None)
        passed = await ask_one(shard, charge_call(ANN, 30, "k-3"))
        await forgotten(shard)
        again = await ask_one(shard, charge_call(ANN, 1, "k-4"))
        swept = await compare(shard, embedded.store)
    async with running(embedded.store) as shard:
        after_restart = await ask_one(shard, charge_call(ANN, 1, "k-5"))

    assert [r.outcome for r in (refused, again, after_restart)] == [Outcome.REFUSED] * 3
    assert passed.outcome is Outcome.DONE
    assert (named.quarantined, swept.stale, swept.quarantined) == (1, 0, 0)
    (day,) = embedded.database.dailycredits.find()
    assert (day["credits_used"], day["credits_charged"]) == (90, 90)
    assert ("credits_used_unread" in day) == (kind != "missing")


@pytest.mark.parametrize("kind", sorted(TYPES))
@in_loop
async def test_an_edit_between_a_decision_and_its_view_frees_nothing(
    embedded: MongoSetup, kind: str
) -> None:
    entries = [(author := Author(ANN)).add(), author.use(60)]
    write(embedded.store, entries)
    edit_day(embedded, "credits_charged", kind)

    write(embedded.store, [author.use(30)])

    (day,) = embedded.database.dailycredits.find()
    assert day["credits_used"] == 90


@pytest.mark.parametrize("kind", sorted(READ_AS_7))
@in_loop
async def test_a_whole_number_of_any_type_is_what_was_used(embedded: MongoSetup, kind: str) -> None:
    async with running(embedded.store) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        await ask_one(shard, charge_call(ANN, 60, "k-1"))
        await shard.settle()
        edit_day(embedded, "credits_used", kind)
        await forgotten(shard)
        await ask_one(shard, charge_call(ANN, 3, "k-2"))
        await forgotten(shard)

        assert (await status(shard, ANN)).credits_used == 10


@in_loop
async def test_a_fraction_that_comes_and_goes_loses_no_charge(embedded: MongoSetup) -> None:
    clock = Clock()
    async with running(embedded.store, clock=clock) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        for number, step in enumerate((0.5, -0.5, 0.5)):
            embedded.database.dailycredits.update_one({}, {"$inc": {"credits_used": step}})
            await forgotten(shard)
            await ask_one(shard, charge_call(ANN, 20, f"k-{number}"))
            await forgotten(shard)
        clock.advance(days=1)
        shown = await status(shard, ANN)

    assert shown.remaining_credits <= 2 * 90 - 60


# --- amounts of other programs ------------------------------------------------------------


@in_loop
async def test_whole_decimals_are_amounts(embedded: MongoSetup) -> None:
    embedded.database.subscriptions.insert_one(
        {
            "user_id": ANN,
            "start_date": MIDNIGHT,
            "end_date": MIDNIGHT + timedelta(days=30),
            "status": "active",
            "total_credits": Decimal128("3000"),
            "spendable_credits": Decimal128("2700.00"),
        }
    )
    async with running(embedded.store) as shard:
        before = await status(shard, ANN)
        await ask_one(shard, credit_call(ANN, 3000, 30))
        await forgotten(shard)
        after = await status(shard, ANN)

    assert (before.total_credits, before.daily_credit_limit) == (3000, 90)
    assert (after.total_credits, after.daily_credit_limit) == (6000, 180)


def test_months_sum_what_lists_show(embedded: MongoSetup) -> None:
    values: list[Any] = [value for value in TYPES.values() if value is not MISSING]
    for value in (*values, Int64(2)):
        embedded.database.usages.insert_one(
            {
                "user_id": ANN,
                "timestamp": NOON,
                "credit_amount": value,
                "token_count": value,
                "tokens": {"input": value, "cache_read": value},
            }
        )
        embedded.database.usages.insert_one({"user_id": ANN, "timestamp": NOON, "tokens": value})
    query = UsageQuery(ANN, MIDNIGHT, NOON + timedelta(days=1), 100, None)

    items = embedded.reads.usage_page(query).items
    month = embedded.reads.usage_sums(ANN, (MIDNIGHT, NOON + timedelta(days=1)), "UTC")

    assert month.records == len(items) == 2 * (len(values) + 1)
    assert month.credit_amount == sum(item.credit_amount for item in items) == 4 * 7 + 2
    assert month.token_count == sum(item.token_count or 0 for item in items)
    by_kind = [item.tokens for item in items if item.tokens is not None]
    assert month.tokens is not None
    for kind in KINDS:
        assert getattr(month.tokens, kind) == sum(getattr(tokens, kind) for tokens in by_kind)
    assert month.tokens.input == month.tokens.cache_read == 4 * 7 + 2
