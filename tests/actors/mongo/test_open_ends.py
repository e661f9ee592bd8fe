"""A subscription that another program gives no end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from actors.mongo.accounts.warm_reader import WarmReader
from actors.protocol.calls import Outcome
from domain.documents.recovery import recover
from tests.builders.authors import NOON, POLICY
from tests.builders.id_types import CAT, forgotten, insert
from tests.fakes.comparison import compare
from tests.fakes.expiry import expiry
from tests.fakes.setups import ALL_SLOTS, MongoSetup
from tests.fakes.shards import Clock, ask_one, charge_call, credit_call, in_loop, running, status

ENDS = pytest.mark.parametrize("end", [None, datetime(9999, 12, 31, tzinfo=UTC)])


@ENDS
@in_loop
async def test_what_was_used_stays_used_and_nothing_expires(embedded: MongoSetup, end: Any) -> None:
    insert(embedded, ObjectId(), end_date=end)
    clock = Clock(NOON)
    async with running(embedded.store, clock=clock) as shard:
        charged = await ask_one(shard, charge_call(CAT, 90, "k-1"))
        await forgotten(shard)
        again = await ask_one(shard, charge_call(CAT, 1, "k-2"))
        swept = await compare(shard, embedded.store)
        clock.advance(days=400)
        expired = await expiry(embedded, shard, clock).run(clock())
        late = await status(shard, CAT)

    assert (charged.outcome, again.outcome) == (Outcome.DONE, Outcome.REFUSED)
    assert (swept.stale, expired.checked) == (0, 0)
    assert (late.status, late.remaining_credits) == ("active", 2700 - 90)


@ENDS
@in_loop
async def test_credits_are_added_for_their_days(embedded: MongoSetup, end: Any) -> None:
    insert(embedded, ObjectId(), end_date=end)
    async with running(embedded.store) as shard:
        await ask_one(shard, credit_call(CAT, 3000, 30))
        await forgotten(shard)
        shown = await status(shard, CAT)

    assert (shown.total_credits, shown.daily_credit_limit) == (6000, 180)
    assert shown.end_date is not None
    assert shown.end_date > NOON + timedelta(days=1_000_000)


@ENDS
def test_a_warm_start_reads_what_a_load_would(embedded: MongoSetup, end: Any) -> None:
    subscription_id = ObjectId()
    insert(embedded, subscription_id, end_date=end)
    day = {"subscription_id": subscription_id, "date": NOON.replace(hour=0), "credits_used": 70}
    embedded.database.dailycredits.insert_one(day)
    reader = WarmReader(embedded.database)

    (page,) = [page for page in reader.pages(ALL_SLOTS, NOON) if page.accounts]

    (loaded,) = embedded.store.load([CAT], NOON)
    assert recover(reader.read(CAT, page.accounts[CAT]), NOON, POLICY) == recover(
        loaded, NOON, POLICY
    )
    (subscription,) = recover(loaded, NOON, POLICY).account.subscriptions
    assert subscription.day is not None
    assert subscription.day.used == 70
