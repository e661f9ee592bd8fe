"""A subscription's id keeps the type that it is stored with, in everything we write and look up."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MinKey, ObjectId, Timestamp
from bson.binary import UUID_SUBTYPE

from actors.mongo.accounts.overview import MongoOverview
from actors.mongo.accounts.warm_reader import WarmReader
from actors.mongo.ids import as_stored, ids_shown_as, range_of, shown, spelled
from actors.mongo.jobs.invariants import MongoInvariants
from actors.mongo.references import References, with_ids_spelled
from actors.protocol.calls import Call, Outcome, Reply
from actors.protocol.queries import (
    ChangeQuery,
    SubscriptionPageQuery,
    SubscriptionsQuery,
    UsageQuery,
)
from actors.protocol.reports import Findings
from domain.api.answers import SubscriptionRecord, UserSubscriptions
from domain.documents.recovery import recover
from domain.ids import shown_id
from domain.messages import ChangeSubscription
from domain.values import Status
from tests.builders.authors import NOON, POLICY
from tests.builders.hold_calls import hold_call, settle_call
from tests.builders.id_types import CAT, MIDNIGHT, forgotten, insert
from tests.fakes.asked import AllQueries
from tests.fakes.comparison import compare
from tests.fakes.expiry import expiry
from tests.fakes.setups import ALL_SLOTS, MongoSetup
from tests.fakes.shards import Clock, ask_one, charge_call, credit_call, in_loop, running, status

IDS: dict[str, Any] = {
    "ObjectId": ObjectId("6b0a96d692994d6854a54f4a"),
    "text of 24 hex digits": "6b0a96d692994d6854a54f4a",
    "text of 24 hex digits, upper case": "6B0A96D692994D6854A54F4A",
    "text": "clx3k2j9s0000",
    "text of digits": "17",
    "text of a UUID": "0b9f1f0e-7a52-4c4b-9d0e-0a4f0f3b7f11",
    "text in quotes": '"quoted"',
    "text of JSON": '{"$numberInt": "17"}',
    "text true": "true",
    "int": 17,
    "long": Int64(2**40),
    "double": 17.5,
    "Decimal128": Decimal128("17.25"),
    "UUID": Binary(uuid.UUID(int=7).bytes, UUID_SUBTYPE),
    "binary": b"\0\0",  # Embedded servers compare by bytes what they sort by length.
    "object": {"tenant": "t-1", "number": 17},
    "bool": True,
    "date": datetime(2026, 1, 1, tzinfo=UTC),
}
EVERY_ID = pytest.mark.parametrize("name", IDS)
NOT_KEPT: dict[str, Any] = {
    "null": None,
    "NaN": float("nan"),
    "Timestamp": Timestamp(3, 4),
    "MinKey": MinKey(),
    "long text": "x" * 257,
}


def is_same(found: Any, stored: Any) -> bool:
    return bool(found == stored and type(found) is type(stored))


def answer(reply: Reply) -> Any:
    return json.loads(reply.body or b"")


@EVERY_ID
def test_a_spelling_names_one_id_and_keeps_its_type(name: str) -> None:
    spelling = spelled(IDS[name])

    assert spelling is not None
    assert is_same(as_stored(spelling), IDS[name])


TEXTS_LIKE_SPELLINGS = [
    *(
        '{"$oid": "x"}',
        '{"$oid": 5}',
        '{"$numberDecimal": "x"}',
        '{"$numberLong": "x"}',
        '{"a": 1}',
    ),
    *('{"$date": {"$numberLong": "99999999999999999999"}}', '{"$uuid": "x"}', '{"$uuid": 5}'),
    *('{"$binary": {"base64": "AA=="}}', '{"$binary": {"subType": "00"}}', '{"$binary": {}}'),
    *('{"$binary": 5}', '{"$timestamp": {"t": -1, "i": 0}}', '{"$code": 5}', '{"$ref": 5}'),
    *('{"$regularExpression": {"pattern": 5, "options": 5}}', '{"$dbPointer": 5}', '"', "{"),
    *('{"$numberLong": "%s"}' % ("9" * 30), '"\\ud800"', '{"$code": "x"}', '{"$minKey": 1}'),
    *('{"$regularExpression": {"pattern": ".*", "options": ""}}',),
    *('{"a":' * 100_000, '{"$numberInt": "' + "9" * 5_000 + '"}'),
]


@pytest.mark.parametrize("text", TEXTS_LIKE_SPELLINGS, ids=lambda text: text[:40])
def test_a_text_that_only_looks_like_a_spelling_is_a_text(text: str) -> None:
    shown_id(text)

    for found in ids_shown_as(text):
        assert range_of(found) is not None
        bson.encode({"_id": found})
    assert text in ids_shown_as(text) or is_same(as_stored(spelled(text) or ""), text)


@pytest.mark.parametrize(
    "value",
    [
        *({"$oid": "x"}, {"a": {"$oid": Code("x")}}, {"$numberDecimal": "x"}, {"$uuid": 5}),
        *(
            {"$binary": {}},
            {"$binary": {"base64": "AA=="}},
            {"$timestamp": {}},
            {"$code": Code("x")},
        ),
        *({"a": Decimal128("sNaN")}, Decimal128("sNaN"), {"$date": {"$numberLong": "9" * 30}}),
    ],
    ids=str,
)
def test_an_id_that_cannot_be_read_back_is_not_kept_and_hurts_nobody(value: Any) -> None:
    document = {"_id": value, "grants": [{"grant_id": value}], "user_id": CAT}

    assert spelled(value) is None
    assert with_ids_spelled(document)["_id"] is value
    assert list(References([value]).read([{"_id": value, "subscription_id": value}]))


def test_no_two_ids_have_one_spelling() -> None:
    assert len({spelled(value) for value in IDS.values()}) == len(IDS)


# --- nobody spends more than granted, nothing acknowledged is lost ------------------------


@EVERY_ID
@in_loop
async def test_90_a_day_are_90_through_a_reload_a_sweep_and_a_restart(
    embedded: MongoSetup, name: str
) -> None:
    insert(embedded, IDS[name])
    async with running(embedded.store) as shard:
        assert (await ask_one(shard, charge_call(CAT, 90, "k-1"))).outcome is Outcome.DONE
        await forgotten(shard)
        again = await ask_one(shard, charge_call(CAT, 1, "k-2"))
        swept = await compare(shard, embedded.store)
        after_sweep = await ask_one(shard, charge_call(CAT, 1, "k-3"))
    async with running(embedded.store) as shard:
        after_restart = await ask_one(shard, charge_call(CAT, 1, "k-4"))
        used = (await status(shard, CAT)).credits_used

    refused = [again.outcome, after_sweep.outcome, after_restart.outcome]
    assert refused == [Outcome.REFUSED] * 3
    assert (used, swept) == (90, Findings(checked=1))
    (day,) = embedded.database.dailycredits.find()
    (usage,) = embedded.database.usages.find()
    assert is_same(day["subscription_id"], IDS[name])
    assert is_same(usage["subscription_id"], IDS[name])
    assert day["credits_used"] == 90


@EVERY_ID
@in_loop
async def test_credits_added_stay_through_a_reload_a_sweep_and_a_restart(
    embedded: MongoSetup, name: str
) -> None:
    insert(embedded, IDS[name])
    async with running(embedded.store) as shard:
        assert (await ask_one(shard, credit_call(CAT, 3000, 30))).outcome is Outcome.DONE
        totals = [(await status(shard, CAT)).total_credits]
        await forgotten(shard)
        totals.append((await status(shard, CAT)).total_credits)
        await compare(shard, embedded.store)
        totals.append((await status(shard, CAT)).total_credits)
    async with running(embedded.store) as shard:
        totals.append((await status(shard, CAT)).total_credits)

    assert totals == [6000] * 4
    (document,) = embedded.database.subscriptions.find()
    assert is_same(document["_id"], IDS[name])
    assert document["total_credits"] == 6000


@EVERY_ID
@in_loop
async def test_a_hold_is_settled_once_after_a_restart(embedded: MongoSetup, name: str) -> None:
    insert(embedded, IDS[name])
    async with running(embedded.store) as shard:
        held = await ask_one(shard, hold_call(50, "h", user_id=CAT))
        hold_id = answer(held)["hold_id"]
        await shard.settle()
    async with running(embedded.store) as shard:
        settled = await ask_one(shard, settle_call(hold_id, 40, "s-1", user_id=CAT))
        await forgotten(shard)
        again = await ask_one(shard, settle_call(hold_id, 40, "s-2", user_id=CAT))
        shown = await status(shard, CAT)

    assert (settled.outcome, again.outcome) == (Outcome.DONE, Outcome.REFUSED)
    assert (shown.credits_used, shown.credits_held) == (40, 0)
    (day,) = embedded.database.dailycredits.find()
    assert day["holds"] == []


@EVERY_ID
@in_loop
async def test_it_expires_at_its_end(embedded: MongoSetup, name: str) -> None:
    insert(embedded, IDS[name], end_date=NOON)
    clock = Clock(NOON + timedelta(seconds=1))
    async with running(embedded.store, clock=clock) as shard:
        found = await expiry(embedded, shard, clock).run(clock())
        await shard.settle()

    assert found == Findings(checked=1, expired=1)
    (document,) = embedded.database.subscriptions.find()
    assert document["status"] == "expired"


# --- what is shown, and found by what is shown --------------------------------------------


@EVERY_ID
@in_loop
async def test_it_is_changed_under_the_id_that_lists_show(embedded: MongoSetup, name: str) -> None:
    insert(embedded, IDS[name])
    overview = MongoOverview(embedded.database, "UTC")
    async with running(embedded.store) as shard:
        queries = AllQueries(shard, embedded.reads, POLICY)
        listed = await queries.answer(shard.table.version, SubscriptionsQuery(CAT))
        (own,) = UserSubscriptions.model_validate_json(listed.body or b"").subscriptions
        owner = overview.owner_of(own.subscription_id)
        assert owner is not None
        call = Call(ChangeSubscription(*owner, Status.PAUSED), "pause", keep_refusal=True)
        changed = await queries.answer(shard.table.version, ChangeQuery(call))
        shown = await status(shard, CAT)

    record = SubscriptionRecord.model_validate_json(changed.body or b"")
    assert owner == (CAT, spelled(IDS[name]))
    assert shown.subscription_id == record.subscription_id == own.subscription_id
    assert shown.status == record.status == "paused"
    (document,) = embedded.database.subscriptions.find()
    assert document["status"] == "paused"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ObjectId", "6b0a96d692994d6854a54f4a"),
        ("text of 24 hex digits", "6b0a96d692994d6854a54f4a"),
        ("text in quotes", '"quoted"'),
        ("int", "17"),
        ("UUID", "00000000-0000-0000-0000-000000000007"),
        ("object", '{"tenant": "t-1", "number": {"$numberInt": "17"}}'),
    ],
)
@in_loop
async def test_a_client_is_shown_the_plain_id(embedded: MongoSetup, name: str, shown: str) -> None:
    insert(embedded, IDS[name])
    async with running(embedded.store) as shard:
        charged = await ask_one(shard, charge_call(CAT, 1, "k"))
        await shard.settle()

    query = UsageQuery(CAT, MIDNIGHT, NOON + timedelta(days=1), 10, None)
    (record,) = embedded.reads.usage_page(query).items
    assert answer(charged)["subscription_id"] == record.subscription_id == shown


def test_pages_list_ids_of_every_type_once(embedded: MongoSetup) -> None:
    for value in IDS.values():
        insert(embedded, value)
    overview, names = MongoOverview(embedded.database, "UTC"), list[str]()

    cursor = None
    while True:
        page = overview.subscription_page(SubscriptionPageQuery(None, 2, cursor), NOON)
        names += [record.subscription_id for record in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(names) == sorted(shown(value) for value in IDS.values())


def test_a_sweep_holds_subscriptions_with_ids_of_every_type_to_the_rules(
    embedded: MongoSetup,
) -> None:
    for value in IDS.values():
        insert(embedded, value, system_portion=1.0)
    invariants = MongoInvariants(embedded.database, "UTC")

    whole = invariants.check(None)
    parts = [invariants.check(4) for _ in range(6)]

    assert whole.invariants_broken == len(IDS)
    assert sum(part.invariants_broken for part in parts[:5]) == len(IDS)


@EVERY_ID
def test_a_warm_start_reads_what_a_load_would(embedded: MongoSetup, name: str) -> None:
    insert(embedded, IDS[name])
    day = {"subscription_id": IDS[name], "date": MIDNIGHT, "credits_used": 70}
    embedded.database.dailycredits.insert_one(day)
    reader = WarmReader(embedded.database)

    (page,) = [page for page in reader.pages(ALL_SLOTS, NOON) if page.accounts]

    (loaded,) = embedded.store.load([CAT], NOON)
    warm = recover(reader.read(CAT, page.accounts[CAT]), NOON, POLICY)
    assert warm == recover(loaded, NOON, POLICY)
    (subscription,) = warm.account.subscriptions
    assert subscription.day is not None
    assert subscription.day.used == 70


# --- what is not kept ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NOT_KEPT)
@in_loop
async def test_an_id_that_is_not_kept_is_quarantined(embedded: MongoSetup, name: str) -> None:
    insert(embedded, NOT_KEPT[name])
    async with running(embedded.store) as shard:
        assert (await status(shard, CAT)).status == "none"
        swept = await compare(shard, embedded.store)

        assert shard.counters.quarantined == 1
    assert swept.quarantined == 1
