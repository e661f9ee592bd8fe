"""A check of the rules goes on beside documents that another program has spoilt, and names them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import DatetimeMS

from actors.mongo.jobs.invariants import MongoInvariants
from domain.ids import SPELLING_LENGTH_MAX
from domain.values import UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.setups import MongoSetup

ANN, BOB = UserId("ann"), UserId("bob")
SPOILT: dict[str, dict[str, Any]] = {
    "no date": {"$unset": {"date": ""}},
    "a text for a date": {"$set": {"date": "2026-03-10"}},
    "a date beyond the calendar": {"$set": {"date": DatetimeMS(2**60)}},
    "the last year of the calendar": {"$set": {"date": datetime(9999, 12, 31, tzinfo=UTC)}},
    "the first year of the calendar": {"$set": {"date": datetime(1, 1, 1, tzinfo=UTC)}},
    "a text for its use": {"$set": {"credits_used": "many"}},
}


def broken_days_of(mongo: MongoSetup) -> list[str]:
    """Break a rule in Bob's day; return who is named by a check of all."""
    mongo.change("dailycredits", {"user_id": BOB}, credits_charged=31)
    found = MongoInvariants(mongo.database, "UTC").check(None)
    assert (found.invariants_broken, found.quarantined) == (1, 1)
    return found.users


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_day_keeps_no_other_from_being_checked(embedded: MongoSetup, what: str) -> None:
    for user_id in (ANN, BOB):
        author = Author(user_id)
        write(embedded.store, [author.add(), author.use(30)])
    embedded.database.dailycredits.update_one({"user_id": ANN}, SPOILT[what])

    assert sorted(broken_days_of(embedded)) == [ANN, BOB]


def test_a_subscription_of_an_odd_id_keeps_no_other_from_being_checked(
    embedded: MongoSetup,
) -> None:
    author = Author(BOB)
    write(embedded.store, [author.add(), author.use(30)])
    (known,) = embedded.documents("subscriptions")
    odd = {**known, "_id": {"of": "ann" * SPELLING_LENGTH_MAX}, "user_id": str(ANN)}
    embedded.database.subscriptions.insert_one(odd)
    embedded.database.dailycredits.insert_one({"subscription_id": odd["_id"], "date": NOON})

    assert BOB in broken_days_of(embedded)


def test_a_day_that_another_program_has_deleted_is_held_to_what_was_charged_since(
    embedded: MongoSetup,
) -> None:
    author = Author(BOB)
    write(embedded.store, [author.add(), author.use(30)])
    embedded.database.dailycredits.delete_many({})
    write(embedded.store, [author.use(5), author.use(2)])
    write(embedded.store, [author.use(1)])

    after = MongoInvariants(embedded.database, "UTC").check(None)
    assert embedded.document("dailycredits")["credits_charged"] == 8
    embedded.change("dailycredits", {"user_id": BOB}, credits_charged=38)
    changed = MongoInvariants(embedded.database, "UTC").check(None)

    assert (after.invariants_broken, changed.invariants_broken) == (0, 1)


def test_the_days_of_more_users_than_are_read_together_are_all_held_to_the_journal(
    embedded: MongoSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.mongo.jobs.told_entries.FEW", 1)
    monkeypatch.setattr("actors.mongo.jobs.told_entries.USERS_TOGETHER", 2)
    users = [UserId(f"user-{number}") for number in range(5)]
    for user_id in users:
        author = Author(user_id)
        write(embedded.store, [author.add(), author.use(30)])
    embedded.database.dailycredits.update_many({}, {"$set": {"credits_charged": 31}})

    found = MongoInvariants(embedded.database, "UTC").check(None)

    assert sorted(found.users) == users
    assert found.invariants_broken == len(users)
