"""How long an answer to a list may become, whatever is stored; nothing is lost by ending early."""

from datetime import timedelta

import pytest
from bson import ObjectId

from actors.mongo.accounts import reads
from actors.mongo.accounts.usage_pages import PAGE_BYTES_MAX
from actors.protocol.queries import HistoryQuery, SubscriptionPageQuery
from tests.builders.authors import NOON, Author, write
from tests.builders.usage_records import ANN, month
from tests.fakes.setups import MongoSetup


def test_a_page_of_long_entries_ends_early_and_none_is_lost(mongo: MongoSetup) -> None:
    author = Author(ANN)
    write(mongo.store, [author.add(), *author.use_often(60)])
    answer = f'{{"said": "{"x" * 20_000}"}}'
    mongo.database.allotment_journal.update_many({}, {"$set": {"answer": answer}})
    seen: list[int] = []
    lengths: list[int] = []
    before: int | None = None
    while not seen or before is not None:
        page = mongo.reads.history(HistoryQuery(ANN, 1000, before))
        seen += [entry.seq for entry in page.items]
        lengths.append(len(page.model_dump_json()))
        before = None if page.next_cursor is None else int(page.next_cursor)

    assert seen == list(range(61, 0, -1))
    assert len(lengths) > 1
    assert max(lengths) < PAGE_BYTES_MAX * 1.1


def test_a_month_of_too_many_services_names_those_with_most_credits_and_loses_none(
    embedded: MongoSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "NAMES_MAX", 3)
    for number in range(6):
        embedded.insert(
            "usages",
            _id=ObjectId(),
            user_id=ANN,
            service_type=f"s{number}",
            credit_amount=number,
            timestamp=NOON,
        )

    found = month(embedded, "2026-03", "UTC")

    sums = {name: sums.credit_amount for name, sums in found.by_service.items()}
    assert sums == {"(others)": 3, "s3": 3, "s4": 4, "s5": 5}
    assert sum(sums.records for sums in found.by_service.values()) == found.records == 6


def test_a_page_of_long_subscriptions_ends_early_and_none_is_lost(mongo: MongoSetup) -> None:
    authors = [Author(f"user-{number}") for number in range(8)]
    write(mongo.store, [author.add() for author in authors])
    expected = sorted(author.account.subscriptions[0].subscription_id for author in authors)
    grant = {"from_day": "2026-03-10", "days": 1, "amount": 0, "system_portion": 0}
    for name in expected:
        grants = [grant | {"grant_id": ObjectId()} for _ in range(999)]
        changes = {"$push": {"grants": {"$each": grants}}}
        mongo.database.subscriptions.update_one({"_id": ObjectId(name)}, changes)
    found: list[list[str]] = []
    cursor: str | None = None
    while not found or cursor is not None:
        page = mongo.overview.subscription_page(SubscriptionPageQuery(None, 1000, cursor), NOON)
        found.append([record.subscription_id for record in page.items])
        assert len(page.model_dump_json()) < PAGE_BYTES_MAX * 1.6
        cursor = page.next_cursor

    assert [one for page in found for one in page] == expected
    assert len(found) > 1


def test_of_too_many_packs_and_subscriptions_those_in_force_are_listed(
    mongo: MongoSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "LISTED_MAX", 3)
    for number in range(6):
        at = NOON + timedelta(days=number)
        mongo.insert("packs", _id=ObjectId(), user_id=ANN, expires_at=at, amount=number)
        mongo.insert("subscriptions", _id=ObjectId(), user_id=ANN, end_date=at, amount=number)
    mongo.insert("subscriptions", _id=ObjectId(), user_id=ANN, end_date=None, amount=9)
    mongo.insert("packs", _id=ObjectId(), user_id=ANN, expires_at=None, amount=9)
    mongo.insert("packs", _id=ObjectId(), user_id=ANN, expires_at="soon", amount=8)

    packs = [document["amount"] for document in mongo.reads.packs_of(ANN)]
    subscriptions = [document["amount"] for document in mongo.reads.subscriptions_of(ANN)]

    assert sorted(packs) == [4, 5, 9]
    assert sorted(subscriptions) == [4, 5, 9]
