"""A user or a subscription that is referred to in another type is found, or named."""

import uuid
from typing import Any

import pytest
from bson import Binary, Int64, ObjectId
from bson.binary import UUID_SUBTYPE

from actors.mongo.accounts.overview import MongoOverview
from actors.mongo.accounts.warm_reader import WarmReader
from actors.mongo.jobs.invariants import MongoInvariants
from actors.protocol.calls import Outcome
from actors.protocol.queries import SubscriptionPageQuery
from domain.documents.recovery import recover
from domain.values import UserId
from tests.builders.authors import NOON, POLICY
from tests.builders.hold_calls import hold_call
from tests.builders.id_types import CAT, MIDNIGHT, forgotten, insert
from tests.fakes.comparison import compare
from tests.fakes.setups import ALL_SLOTS, MongoSetup
from tests.fakes.shards import ask_one, charge_call, in_loop, running, status

SUBSCRIPTION = ObjectId("6b0a96d692994d6854a54f4a")
UUID_ID = uuid.UUID(int=7)
REFERENCES: dict[str, tuple[Any, Any]] = {
    "an ObjectId by its text": (SUBSCRIPTION, str(SUBSCRIPTION)),
    "a text by its ObjectId": (str(SUBSCRIPTION), SUBSCRIPTION),
    "a number by a double": (17, 17.0),
    "a number by a long": (17, Int64(17)),
    "a number by its text": (17, "17"),
    "a text by its number": ("17", 17),
    "a UUID by its text": (Binary(UUID_ID.bytes, UUID_SUBTYPE), str(UUID_ID)),
    "a text by its UUID": (str(UUID_ID), Binary(UUID_ID.bytes, UUID_SUBTYPE)),
}


def insert_day(setup: MongoSetup, reference: Any, **fields: Any) -> None:
    document = {"subscription_id": reference, "date": MIDNIGHT, "credits_used": 70}
    setup.database.dailycredits.insert_one(document | fields)


# --- days ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFERENCES)
@in_loop
async def test_a_day_counts_in_whatever_type_it_names_its_subscription(
    embedded: MongoSetup, name: str
) -> None:
    subscription_id, reference = REFERENCES[name]
    insert(embedded, subscription_id)
    insert_day(embedded, reference)
    async with running(embedded.store) as shard:
        refused = await ask_one(shard, charge_call(CAT, 60, "k-1"))
        passed = await ask_one(shard, charge_call(CAT, 20, "k-2"))
        await forgotten(shard)
        again = await ask_one(shard, charge_call(CAT, 1, "k-3"))
        swept = await compare(shard, embedded.store)

        assert (await status(shard, CAT)).credits_used == 90
    assert [r.outcome for r in (refused, passed, again)] == [
        Outcome.REFUSED,
        Outcome.DONE,
        Outcome.REFUSED,
    ]
    assert swept.stale == 0


@pytest.mark.parametrize("name", REFERENCES)
def test_a_warm_start_reads_such_days(embedded: MongoSetup, name: str) -> None:
    subscription_id, reference = REFERENCES[name]
    insert(embedded, subscription_id)
    insert_day(embedded, reference)
    reader = WarmReader(embedded.database)

    (page,) = [page for page in reader.pages(ALL_SLOTS, NOON) if page.accounts]

    warm = recover(reader.read(CAT, page.accounts[CAT]), NOON, POLICY)
    (loaded,) = embedded.store.load([CAT], NOON)
    assert warm == recover(loaded, NOON, POLICY)
    (subscription,) = warm.account.subscriptions
    assert subscription.day is not None
    assert subscription.day.used == 70


@in_loop
async def test_a_day_is_its_whose_subscription_has_exactly_that_id(embedded: MongoSetup) -> None:
    insert(embedded, SUBSCRIPTION, "ann")
    insert(embedded, str(SUBSCRIPTION), "bob")
    insert_day(embedded, str(SUBSCRIPTION))
    async with running(embedded.store) as shard:
        used = [(await status(shard, user)).credits_used for user in ("ann", "bob")]

    assert used == [0, 70]


@in_loop
async def test_holds_that_no_view_of_ours_reaches_are_named(embedded: MongoSetup) -> None:
    insert(embedded, SUBSCRIPTION)
    async with running(embedded.store) as shard:
        await ask_one(shard, hold_call(50, "h", user_id=CAT))
        await shard.settle()
    embedded.database.dailycredits.update_one({}, {"$set": {"subscription_id": str(SUBSCRIPTION)}})
    async with running(embedded.store) as shard:
        held = (await status(shard, CAT)).credits_held

        assert shard.counters.quarantined == 1
    assert held == 0


# --- users --------------------------------------------------------------------------------


@in_loop
async def test_a_user_id_of_24_hex_digits_may_be_stored_as_a_text(embedded: MongoSetup) -> None:
    insert(embedded, SUBSCRIPTION, str(CAT))
    async with running(embedded.store) as shard:
        charged = await ask_one(shard, charge_call(CAT, 90, "k-1"))
        await forgotten(shard)
        again = await ask_one(shard, charge_call(CAT, 1, "k-2"))
        swept = await compare(shard, embedded.store)

    assert (charged.outcome, again.outcome) == (Outcome.DONE, Outcome.REFUSED)
    assert (swept.stale, swept.quarantined) == (0, 0)
    assert len(embedded.reads.subscriptions_of(CAT)) == 1
    assert MongoOverview(embedded.database, "UTC").owner_of(str(SUBSCRIPTION)) == (
        CAT,
        str(SUBSCRIPTION),
    )


@pytest.mark.parametrize("page", [1, 1000])
def test_a_warm_start_reads_a_user_once_who_is_stored_in_two_types(
    embedded: MongoSetup, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.mongo.accounts.all_subscriptions.SUBSCRIPTIONS_PER_PAGE", page)
    other = UserId("75f0a1b2c3d4e5f601234567")
    for number, user in enumerate((str(CAT), ObjectId(CAT), str(other), "zoe")):
        insert(embedded, f"s-{number}", user)
    reader = WarmReader(embedded.database)

    found = [
        (user_id, reader.read(user_id, account))
        for part in reader.pages(ALL_SLOTS, NOON)
        for user_id, account in part.accounts.items()
    ]

    assert sorted(user_id for user_id, _ in found) == sorted([CAT, other, UserId("zoe")])
    for user_id, warm in found:
        (loaded,) = embedded.store.load([user_id], NOON)
        assert recover(warm, NOON, POLICY) == recover(loaded, NOON, POLICY)


@pytest.mark.parametrize(
    "user", [str(CAT).upper(), 17, 17.5, Binary(UUID_ID.bytes, UUID_SUBTYPE), True, {"a": 1}]
)
def test_a_user_id_that_nobody_is_found_by_is_named(
    embedded: MongoSetup, user: Any, caplog: pytest.LogCaptureFixture
) -> None:
    insert(embedded, SUBSCRIPTION, user)
    overview = MongoOverview(embedded.database, "UTC")

    found = MongoInvariants(embedded.database, "UTC").check(None)

    assert found.quarantined == 1
    assert str(SUBSCRIPTION) in caplog.text
    assert overview.owner_of(str(SUBSCRIPTION)) is None
    assert overview.subscription_page(SubscriptionPageQuery(None, 9, None), NOON).items == []
