"""What every store promises of lists and sums, records of other programs included."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import Binary, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from actors.mongo.accounts.usage_pages import PAGE_BYTES_MAX, ranges
from actors.mongo.ids import shown
from actors.protocol.queries import HistoryQuery, UsageQuery
from domain.api.answers import TokenCounts
from domain.api.requests import TIMESTAMP_MAX, TIMESTAMP_MIN
from domain.api.usage_answers import UsageSums
from domain.messages import RecordUsage
from domain.pricing import Price, PriceList
from domain.usage_facts import KINDS
from domain.values import UserId
from tests.builders.authors import NOON, POLICY, Author, usage_id_of, write
from tests.builders.usage_records import ANN, month, record
from tests.fakes.setups import MongoSetup, Setup

CAT = UserId("65f0a1b2c3d4e5f601234567")
"""24 hex digits: an ObjectId in MongoDB."""
SINCE, UNTIL = NOON - timedelta(days=40), NOON + timedelta(days=40)


def oid(number: int) -> str:
    return f"{number:024x}"


def pages(setup: Setup, limit: int, user_id: UserId = ANN) -> list[list[str]]:
    """Return the ids page by page, until there is no cursor."""
    found, cursor = [], None
    while True:
        page = setup.reads.usage_page(UsageQuery(user_id, SINCE, UNTIL, limit, cursor))
        found.append([item.usage_id for item in page.items])
        cursor = page.next_cursor
        if cursor is None:
            return found


# --- pages --------------------------------------------------------------------------------


def test_a_page_shows_the_newest_records_first_with_all_their_fields(setup: Setup) -> None:
    author = Author(CAT)
    entries = [author.add(), author.use(30), author.use(4, at=NOON - timedelta(days=1))]
    write(setup.store, entries)

    page = setup.reads.usage_page(UsageQuery(CAT, SINCE, UNTIL, 10, None))

    newest, oldest = page.items
    assert page.next_cursor is None
    assert [newest.usage_id, oldest.usage_id] == [usage_id_of(entry) for entry in entries[1:]]
    assert newest.model_dump(exclude={"usage_id", "subscription_id"}) == {
        "user_id": CAT,
        "service_type": "chat",
        "credit_amount": 30,
        "token_count": 7,
        "model_used": "m-1",
        "session_id": "s-1",
        "details": {"answer": {"deep": [1, 2.5, None]}},
        "timestamp": NOON,
        "price": None,
        "sources": [{"source": "day", "date": NOON.replace(hour=0), "credit_amount": 30}],
        "uncovered_credits": 0,
        "late": False,
        "reversed_credits": 0,
    }


def test_a_record_shows_the_price_that_made_its_amount(setup: Setup) -> None:
    price = Price("chat", "m-*", Decimal("0.250"), 1000, NOON, None)
    author = Author(CAT, policy=replace(POLICY, prices=PriceList((price,))))
    charge = RecordUsage(CAT, "chat", None, token_count=9000, model_used="m-1")
    write(setup.store, [author.add(), author.do(charge)])

    (record,) = setup.reads.usage_page(UsageQuery(CAT, SINCE, UNTIL, 10, None)).items

    assert record.credit_amount == 3
    assert record.price is not None
    assert record.price.model_dump() == {
        "service": "chat",
        "model": "m-*",
        "credits_per_unit": "0.250",
        "unit_size": 1000,
        "effective_from": NOON,
        "effective_until": None,
    }


def test_what_another_program_calls_a_price_is_none(setup: Setup) -> None:
    record(setup, oid(1), NOON, price=7)

    (shown,) = setup.reads.usage_page(UsageQuery(ANN, SINCE, UNTIL, 10, None)).items

    assert shown.price is None


def test_since_is_inclusive_and_until_is_exclusive(setup: Setup) -> None:
    for number in range(4):
        record(setup, oid(number), NOON + timedelta(milliseconds=number))

    page = setup.reads.usage_page(
        UsageQuery(
            ANN, NOON + timedelta(milliseconds=1), NOON + timedelta(milliseconds=3), 10, None
        )
    )

    assert [item.usage_id for item in page.items] == [oid(2), oid(1)]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_pages_over_equal_timestamps_show_every_record_once(setup: Setup, limit: int) -> None:
    for number in (5, 3, 7, 1, 6, 2, 4):
        record(setup, oid(number), NOON + timedelta(seconds=number in (1, 7)))

    found = pages(setup, limit)

    assert [i for page in found for i in page] == [oid(n) for n in (7, 1, 6, 5, 4, 3, 2)]
    assert {len(page) for page in found[:-1]} <= {limit}


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_over_ids_of_other_kinds_show_every_record_once(setup: Setup, limit: int) -> None:
    numbers = [oid(2**90), "zebra", "Ant", "a-b-c", oid(1), 17, 9]
    for number in numbers:
        record(setup, number, NOON)

    found = [i for page in pages(setup, limit) for i in page]

    assert sorted(found) == sorted(str(n) for n in numbers)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_over_ids_that_are_no_names_show_every_record_once(
    embedded: MongoSetup, limit: int
) -> None:
    ids = [
        ObjectId(oid(7)),
        Binary(b"x" * 16, 4),
        {"a": 1},
        "t",
        2.5,
        7,
        True,
        NOON,
        ObjectId(oid(1)),
    ]
    for number in ids:
        embedded.database.usages.insert_one({"_id": number, "user_id": ANN, "timestamp": NOON})

    found = [i for page in pages(embedded, limit) for i in page]

    assert sorted(found) == sorted(map(shown, ids))


def test_a_page_goes_on_from_the_cursor_of_an_older_version(embedded: MongoSetup) -> None:
    for number in (1, 2, 3):
        record(embedded, oid(number), NOON)
    milliseconds = int(NOON.timestamp() * 1000)

    query = UsageQuery(ANN, SINCE, UNTIL, 5, f"{milliseconds}-{oid(3)}")

    assert [i.usage_id for i in embedded.reads.usage_page(query).items] == [oid(2), oid(1)]


def test_a_page_of_long_records_ends_early_and_none_is_lost(embedded: MongoSetup) -> None:
    for number in range(90):
        record(embedded, oid(number), NOON, details={"text": "x" * 16_000})

    found = pages(embedded, 1000)

    assert len(found) > 1
    assert max(len(page) for page in found) * 16_000 <= PAGE_BYTES_MAX + 17_000
    assert [i for page in found for i in page] == [oid(n) for n in reversed(range(90))]


@given(
    st.lists(st.integers(-300, 300), max_size=30), st.integers(-300, 300), st.integers(-300, 300)
)
def test_ranges_hold_every_instant_once_and_come_backwards(
    hours: list[int], begin: int, now: int
) -> None:
    since, until = NOON + timedelta(hours=min(begin, 299)), NOON + timedelta(hours=300)

    found = list(ranges(since, until, NOON + timedelta(hours=now)))

    for hour in hours:
        at = NOON + timedelta(hours=hour)
        assert sum(first <= at < last for first, last in found) == (since <= at < until)
    assert [pair[0] for pair in found[:-1]] == [pair[1] for pair in found[1:]]
    assert len(found) <= 8


def test_the_beginning_of_time_is_near_enough() -> None:
    found = list(ranges(TIMESTAMP_MIN, TIMESTAMP_MAX, NOON))

    assert (found[-1][0], found[0][1]) == (TIMESTAMP_MIN, TIMESTAMP_MAX)
    assert len(found) <= 15


def test_a_record_that_arrives_between_two_pages_moves_no_other(setup: Setup) -> None:
    for number in (2, 4, 6):
        record(setup, oid(number), NOON)
    first = setup.reads.usage_page(UsageQuery(ANN, SINCE, UNTIL, 2, None))

    record(setup, oid(9), NOON)
    record(setup, oid(8), NOON + timedelta(seconds=1))

    rest = setup.reads.usage_page(UsageQuery(ANN, SINCE, UNTIL, 2, first.next_cursor))
    assert [i.usage_id for i in (*first.items, *rest.items)] == [oid(6), oid(4), oid(2)]


def test_an_exactly_full_last_page_has_no_cursor(setup: Setup) -> None:
    for number in range(4):
        record(setup, oid(number), NOON)

    assert [len(page) for page in pages(setup, 2)] == [2, 2]


def test_other_users_records_are_not_shown(setup: Setup) -> None:
    record(setup, oid(1), NOON)
    record(setup, oid(2), NOON, user_id=CAT)

    assert pages(setup, 10, CAT) == [[oid(2)]]


def test_a_foreign_record_with_unreadable_fields_is_shown_with_nulls(setup: Setup) -> None:
    record(
        setup,
        "their-id",
        NOON,
        service_type=None,
        credit_amount="many",
        token_count=2.5,
        details=[1, 2],
    )
    setup.insert("usages", _id="bare", user_id=ANN, timestamp=NOON + timedelta(seconds=1))

    bare, odd = setup.reads.usage_page(UsageQuery(ANN, SINCE, UNTIL, 10, None)).items

    assert (bare.usage_id, bare.credit_amount, bare.service_type) == ("bare", 0, None)
    assert (odd.credit_amount, odd.token_count, odd.details) == (0, None, None)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "12",
        "-",
        "12-",
        "x-y",
        "1" * 40 + "-a",
        "12.",
        "12.x",
        "12.o1",
        "12.b",
        "12.bIg==",
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(mongo: Setup, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        mongo.reads.usage_page(UsageQuery(ANN, SINCE, UNTIL, 10, cursor))


# --- months -------------------------------------------------------------------------------


def test_a_month_without_records_is_zero(summing: Setup) -> None:
    sums = month(summing, "2026-03", "UTC")

    assert (sums.records, sums.credit_amount, sums.token_count) == (0, 0, 0)
    assert sums.by_service == sums.by_model == sums.by_day == {}


def test_a_month_is_summed_by_service_model_and_day(summing: Setup) -> None:
    record(summing, oid(1), NOON, credit_amount=5, token_count=10, model_used="m-1")
    record(summing, oid(2), NOON, credit_amount=6, token_count=None, model_used="m-2")
    record(
        summing,
        oid(3),
        NOON + timedelta(days=1),
        service_type="image",
        credit_amount=7,
        model_used="",
    )
    record(summing, oid(4), NOON, user_id=CAT, credit_amount=1000)

    sums = month(summing, "2026-03", "UTC")

    assert (sums.records, sums.credit_amount, sums.token_count) == (3, 18, 10)
    assert sums.by_service == {
        "chat": UsageSums(records=2, credit_amount=11, reversed_credits=0, token_count=10),
        "image": UsageSums(records=1, credit_amount=7, reversed_credits=0, token_count=0),
    }
    assert sorted(sums.by_model) == ["m-1", "m-2"]
    assert {day: s.credit_amount for day, s in sums.by_day.items()} == {
        "2026-03-10": 11,
        "2026-03-11": 7,
    }


def test_a_month_sums_tokens_by_kind_where_records_tell_them(summing: Setup) -> None:
    """Another program may have written anything: what is no amount, or no object, counts as nothing."""
    foreign: list[Any] = [
        *({"input": 5, "output": -1, "cache_read": "9", "reasoning": 1.5, "audio": 7}, 7, "many"),
        *(
            [{"input": 3}],
            None,
            {},
            {"input": float("nan"), "output": 2.0},
            {"input": {"input": 1}},
        ),
    ]
    record(summing, oid(1), NOON, service_type="mail", token_count=2)
    told = {"input": 10, "output": 4, "cache_read": 3, "cache_write": 2, "reasoning": 2**53 - 1}
    record(summing, oid(2), NOON, model_used="m-1", token_count=1, tokens=told)
    for place, tokens in enumerate(foreign, 3):
        record(summing, oid(place), NOON, service_type="odd", tokens=tokens)

    sums = month(summing, "2026-03", "UTC")

    odd = {"input": 5, "output": 2, "cache_read": 0, "cache_write": 0, "reasoning": 0}
    both = {kind: told[kind] + odd[kind] for kind in KINDS}
    assert sums.tokens == TokenCounts(**both)
    assert {s: sums.by_service[s].tokens for s in sums.by_service} == {
        "chat": TokenCounts(**told),
        "mail": None,
        "odd": TokenCounts(**odd),
    }
    assert sums.by_model["m-1"].tokens == TokenCounts(**told)
    assert sums.by_day["2026-03-10"].tokens == TokenCounts(**both)


@pytest.mark.parametrize(
    ("timezone", "first", "after"),
    [
        ("UTC", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
        # Summer time begins in March: the month is an hour short.
        (
            "Europe/Berlin",
            datetime(2026, 2, 28, 23, tzinfo=UTC),
            datetime(2026, 3, 31, 22, tzinfo=UTC),
        ),
        (
            "Asia/Kolkata",
            datetime(2026, 2, 28, 18, 30, tzinfo=UTC),
            datetime(2026, 3, 31, 18, 30, tzinfo=UTC),
        ),
        (
            "Pacific/Auckland",
            datetime(2026, 2, 28, 11, tzinfo=UTC),
            datetime(2026, 3, 31, 11, tzinfo=UTC),
        ),
        (
            "America/New_York",
            datetime(2026, 3, 1, 5, tzinfo=UTC),
            datetime(2026, 4, 1, 4, tzinfo=UTC),
        ),
    ],
)
def test_a_month_has_the_edges_of_the_users_time_zone(
    summing: Setup, timezone: str, first: datetime, after: datetime
) -> None:
    moment = timedelta(milliseconds=1)
    for number, at in enumerate([first - moment, first, after - moment, after]):
        record(summing, oid(number), at, credit_amount=10**number)

    sums = month(summing, "2026-03", timezone)

    assert (sums.records, sums.credit_amount) == (2, 110)
    assert {day: s.credit_amount for day, s in sums.by_day.items()} == {
        "2026-03-01": 10,
        "2026-03-31": 100,
    }


def test_foreign_records_count_in_a_month(summing: Setup) -> None:
    record(summing, "theirs", NOON, credit_amount=5.0, service_type=None, token_count=3.0)
    record(summing, oid(3), NOON, credit_amount="many")

    sums = month(summing, "2026-03", "UTC")

    assert (sums.records, sums.credit_amount, sums.token_count) == (2, 5, 3)
    assert sums.by_service["unknown"].credit_amount == 5


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), float("-inf")])
def test_a_foreign_amount_that_is_no_number_spoils_no_more_than_its_own_service(
    summing: Setup, amount: float
) -> None:
    record(summing, oid(1), NOON, service_type="theirs", credit_amount=amount)
    record(summing, oid(2), NOON, credit_amount=5)

    sums = month(summing, "2026-03", "UTC")

    assert (sums.records, sums.credit_amount) == (2, 5)
    assert sums.by_service["theirs"].credit_amount == 0


def test_sums_stay_exact_beyond_what_doubles_hold(summing: Setup) -> None:
    for number in range(3):
        record(summing, oid(number), NOON, credit_amount=2**53 - 1)

    assert month(summing, "2026-03", "UTC").credit_amount == 3 * (2**53 - 1)


# --- subscriptions ------------------------------------------------------------------------


def test_all_subscriptions_of_a_user_are_read(setup: Setup) -> None:
    author = Author(CAT)
    write(setup.store, [author.add(10, 1)])
    setup.insert("subscriptions", _id=oid(7), user_id=CAT, status="nonsense")
    setup.insert("subscriptions", _id=oid(8), user_id=ANN, status="active")

    found = setup.reads.subscriptions_of(CAT)

    assert len(found) == 2
    assert oid(7) in {str(document["_id"]) for document in found}


def test_the_journal_is_read_page_by_page_newest_first(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(), *author.use_often(4)])

    found: list[list[int]] = []
    before = None
    for _ in range(3):
        page = setup.reads.history(HistoryQuery(ANN, 2, before))
        found.append([item.seq for item in page.items])
        before = int(page.next_cursor) if page.next_cursor else None

    assert found == [[5, 4], [3, 2], [1]]
    assert before is None
