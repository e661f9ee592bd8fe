"""What lists, months and owners show of packs and corrections, from every store."""

from datetime import timedelta
from typing import Any

import pytest

from actors.protocol.queries import HistoryQuery, SubscriptionsQuery, UsageQuery
from actors.shard.lists import Lists
from domain.api.answers import UserSubscriptions
from domain.api.usage_answers import UsageSums
from domain.documents.recovery import Stored, recover
from domain.recalls import Recalls
from domain.values import UserId
from tests.builders.authors import NOON, POLICY, write
from tests.builders.packs import Buyer, pack_of, usage_of
from tests.builders.usage_records import month, record
from tests.fakes.setups import MongoSetup, Setup
from tests.fakes.shards import in_loop

ANN = UserId("ann")
CAT = UserId("65f0a1b2c3d4e5f601234567")
USERS = pytest.mark.parametrize("user_id", [ANN, CAT])
SINCE, UNTIL = NOON - timedelta(days=40), NOON + timedelta(days=40)
STATUS = b'{"as_of": "2026-03-10T12:00:00Z", "timezone": "UTC"}'
HOUR = timedelta(hours=1)


def reversing(user_id: UserId) -> tuple[Buyer, list[Any]]:
    """Return a life: 120 charged to day and pack, 40 of it reversed, 10 more charged."""
    author = Buyer(user_id)
    entries = [author.add(), author.buy(100), author.use(120)]
    recalls = Recalls(usages=frozenset({usage_of(entries[2])}))
    author.account = recover(Stored(user_id, 0, entries=entries), NOON, POLICY, recalls).account
    return author, [*entries, author.reverse(entries[2], 40), author.use(10)]


async def listed(setup: Setup, user_id: UserId) -> UserSubscriptions:
    reply = await Lists(setup.reads, POLICY).answer(SubscriptionsQuery(user_id), STATUS)
    assert reply.body is not None
    return UserSubscriptions.model_validate_json(reply.body)


@USERS
def test_a_list_shows_sources_and_what_was_reversed(setup: Setup, user_id: UserId) -> None:
    author, entries = reversing(user_id)
    write(setup.store, entries)

    page = setup.reads.usage_page(UsageQuery(user_id, SINCE, UNTIL, 10, None))

    shown = {item.usage_id: item for item in page.items}
    first, second = shown[usage_of(entries[2])], shown[usage_of(entries[4])]
    midnight = NOON.replace(hour=0)
    assert [source.model_dump() for source in first.sources] == [
        {"source": "day", "date": midnight, "credit_amount": 90},
        {"source": "pack", "pack_id": pack_of(entries[1]), "credit_amount": 30},
    ]
    assert (first.credit_amount, first.reversed_credits) == (120, 40)
    assert [source.model_dump() for source in second.sources] == [
        {"source": "day", "date": midnight, "credit_amount": 10}
    ]
    assert (second.credit_amount, second.reversed_credits, second.late) == (10, 0, False)
    assert author.account.packs[0].used == 0


def test_a_month_is_less_what_was_reversed(summing: Setup) -> None:
    _, entries = reversing(ANN)
    write(summing.store, entries)
    record(summing, "65f0a1b2c3d4e5f6012300aa", NOON, credit_amount=7, reversed_credits="all")
    record(summing, "65f0a1b2c3d4e5f6012300ab", NOON, credit_amount=7, reversed_credits=9)

    sums = month(summing, "2026-03", "UTC")

    assert (sums.records, sums.credit_amount, sums.reversed_credits) == (4, 97, 47)
    ours = UsageSums(records=2, credit_amount=90, reversed_credits=40, token_count=14)
    assert sums.by_model == {"m-1": ours}
    assert [part.credit_amount for part in sums.by_day.values()] == [97]
    assert [part.reversed_credits for part in sums.by_service.values()] == [47]


@pytest.mark.parametrize(
    ("fields", "sources"),
    [
        ({"sources": "day"}, 0),
        ({"sources": [7, None, {"source": "day"}, {"source": "pack", "credit_amount": 1}]}, 0),
        ({"sources": [{"source": "pack", "pack_id": 5, "credit_amount": 1.0}]}, 1),
        ({}, 0),
        ({"date": NOON}, 0),
        ({"date": NOON, "seq": 4}, 1),
    ],
)
def test_what_another_program_or_an_older_version_says_of_sources(
    setup: Setup, fields: dict[str, Any], sources: int
) -> None:
    record(setup, "65f0a1b2c3d4e5f6012300aa", NOON, credit_amount=7, **fields)

    (shown,) = setup.reads.usage_page(UsageQuery(ANN, SINCE, UNTIL, 10, None)).items

    assert len(shown.sources) == sources


@USERS
@in_loop
async def test_all_packs_are_listed_in_the_order_in_which_they_are_spent(
    setup: Setup, user_id: UserId
) -> None:
    author = Buyer(user_id, NOON - 3 * HOUR)
    gone = author.buy(100, "p-0", expires_at=NOON, priority=0)
    write(setup.store, [gone, author.use(20)])
    author.now = NOON
    write(setup.store, [author.expire(gone)])
    last, first = author.buy(100, "p-1"), author.buy(200, "p-2", priority=10)
    write(setup.store, [last, first, author.use(180), author.hold(30), author.adjust(-10)])
    setup.insert("packs", _id="gift", user_id=user_id, amount=9, spendable_credits=8)
    setup.insert("packs", _id="odd", user_id=user_id, amount="nine")

    packs = (await listed(setup, user_id)).packs

    assert [pack.pack_id for pack in packs] == [
        pack_of(first),
        "gift",
        pack_of(last),
        pack_of(gone),
    ]
    used_up, gift, some, lapsed = packs
    assert (used_up.credits_used, used_up.remaining_credits) == (180, 0)
    assert (gift.system_portion, gift.payment, gift.remaining_credits) == (1, None, 8)
    assert (some.amount, some.spendable_credits, some.taken_back_credits) == (100, 80, 10)
    assert (some.credits_held, some.remaining_credits) == (30, 50)
    assert some.payment is not None
    assert some.payment.transaction_id == "p-1"
    assert (lapsed.lapsed_credits, lapsed.remaining_credits) == (70, 0)
    assert lapsed.expires_at == NOON
    assert {pack.user_id for pack in packs} == {user_id}


@in_loop
async def test_packs_are_listed_of_a_user_who_never_had_a_subscription(setup: Setup) -> None:
    write(setup.store, [Buyer(ANN).buy(100)])

    found = await listed(setup, ANN)

    assert (found.subscriptions, len(found.packs)) == ([], 1)
    assert (await listed(setup, CAT)).packs == []


def test_the_history_tells_of_packs_and_corrections(setup: Setup) -> None:
    author, entries = reversing(ANN)
    write(setup.store, [*entries, author.adjust(-5)])

    history = setup.reads.history(HistoryQuery(ANN, 20, None)).items

    kinds = [entry.kind for entry in history]
    assert len(set(kinds)) == 5  # Two of them are charges.
    changes = {entry.kind: entry.change for entry in history}
    assert sum("reason" in (change or {}) for change in changes.values()) == 2


# --- whose a charge is --------------------------------------------------------------------


@USERS
def test_whose_a_charge_is(setup: Setup, user_id: UserId) -> None:
    author = Buyer(user_id)
    entries = [author.buy(100), author.use(3)]
    name, charged = usage_of(entries[1]), (user_id, "chat")

    assert setup.overview.charged(name) is None
    write(setup.store, entries)
    assert setup.overview.charged(name) == charged
    assert setup.overview.charged(name.upper()) == charged
    assert setup.overview.charged("no id of ours") is None


def test_another_programs_record_is_nobodys_charge(mongo: MongoSetup) -> None:
    record(mongo, "65f0a1b2c3d4e5f6012300aa", NOON)

    assert mongo.overview.charged("65f0a1b2c3d4e5f6012300aa") is None
