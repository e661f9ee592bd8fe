"""What every store promises of holds: they live in the document of the day they count against."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.documents.recovery import recover
from domain.holds import ExpireHold, HoldPlaced, PlaceHold, ReleaseHold, SettleHold
from domain.messages import Entry
from domain.retention import keep_what_matters
from domain.values import Credits, UserId
from tests.builders.authors import NOON, POLICY, Author, write
from tests.fakes.setups import MongoSetup, Setup

ANN = UserId("ann")
CAT = UserId("65f0a1b2c3d4e5f601234567")
"""24 hex digits: an ObjectId in MongoDB."""
USERS = pytest.mark.parametrize("user_id", [ANN, CAT])
LATE = NOON.replace(hour=23, minute=59)


class Holder(Author):
    """Decides about holds, too."""

    def hold(self, amount: int, seconds: int = 300) -> Entry:
        return self.do(
            PlaceHold(
                self.account.user_id,
                "$chat",
                Credits(amount),
                seconds,
                token_count=7,
                details='{"$a.b": "$c"}',
            )
        )

    def settle(self, placed: Entry, amount: int) -> Entry:
        return self.do(SettleHold(self.account.user_id, hold_id(placed), Credits(amount)))

    def release(self, placed: Entry) -> Entry:
        return self.do(ReleaseHold(self.account.user_id, hold_id(placed)))


def hold_id(placed: Entry) -> str:
    assert isinstance(placed.change, HoldPlaced)
    return placed.change.hold.hold_id


def held(document: dict[str, Any]) -> tuple[list[str], int, datetime | None]:
    ids = [hold["hold_id"] for hold in document["holds"]]
    return ids, document["credits_held"], document["holds_until"]


def loaded(setup: Setup, author: Author) -> bool:
    """Say whether what is stored is the author's account."""
    recovered = recover(setup.store.load([author.account.user_id], NOON)[0], author.now, POLICY)
    assert recovered.quarantined == ()
    return recovered.account == keep_what_matters(author.account, author.now)


@USERS
def test_a_hold_is_in_its_days_document_until_it_is_settled(setup: Setup, user_id: UserId) -> None:
    author = Holder(user_id)
    write(setup.store, [author.add()])

    first, second = author.hold(30), author.hold(20, 60)
    write(setup.store, [first, second])
    both = held(setup.document("dailycredits"))
    write(setup.store, [author.settle(first, 12)])
    one = held(setup.document("dailycredits"))
    write(setup.store, [author.release(second)])
    day = setup.document("dailycredits")

    minute = NOON + timedelta(minutes=1)
    assert both == ([hold_id(first), hold_id(second)], 50, minute)
    assert one == ([hold_id(second)], 20, minute)
    assert held(day) == ([], 0, None)
    assert (day["credits_used"], day["credits_charged"]) == (12, 12)
    (usage,) = setup.documents("usages")
    assert (usage["credit_amount"], usage["service_type"], usage["token_count"]) == (12, "$chat", 7)
    assert usage["details"] == {"$a.b": "$c"}
    assert loaded(setup, author)


def test_an_open_hold_is_loaded_as_it_was_made(setup: Setup) -> None:
    author = Holder(CAT)

    write(setup.store, [author.add(), author.hold(30), author.use(3), author.hold(0)])

    assert len(author.account.holds()) == 2
    assert loaded(setup, author)


def test_a_hold_that_is_settled_before_any_view_has_it_leaves_a_charge_only(setup: Setup) -> None:
    author = Holder(ANN)
    entries = [author.add(), author.hold(30)]
    entries.append(author.settle(entries[1], 31))

    write(setup.store, entries)

    day = setup.document("dailycredits")
    assert (day["credits_used"], day["credits_held"], day.get("holds", [])) == (31, 0, [])
    assert loaded(setup, author)


def test_what_a_hold_of_yesterday_frees_reaches_todays_document(setup: Setup) -> None:
    author = Holder(ANN)
    author.now = LATE
    placed = [author.add(), author.hold(90, 3600)]
    write(setup.store, placed)
    author.now += timedelta(minutes=2)
    write(setup.store, [author.use(1)])
    before = setup.documents("dailycredits")

    write(setup.store, [author.settle(placed[1], 50)])

    after = sorted(setup.documents("dailycredits"), key=lambda day: day["date"])
    assert sorted(day["credits_rolled_over"] for day in before) == [0, 0]
    assert [day["credits_rolled_over"] for day in after] == [0, 40]
    assert [day["credits_used"] for day in after] == [50, 1]
    assert loaded(setup, author)


def test_a_hold_that_has_expired_is_loaded_until_that_is_written_down(setup: Setup) -> None:
    author = Holder(ANN)
    entries = [author.add()]
    placed = author.hold(30, 60)
    write(setup.store, [*entries, placed])
    author.now += timedelta(minutes=1)

    still = loaded(setup, author)
    write(setup.store, [author.do(ExpireHold(ANN, hold_id(placed)))])

    assert still
    assert held(setup.document("dailycredits")) == ([], 0, None)
    assert author.account.holds() == []
    assert loaded(setup, author)


@pytest.mark.parametrize("garbage", ["text", 7, {"a": 1}])
def test_what_is_no_list_of_holds_gives_way(setup: Setup, garbage: object) -> None:
    author = Holder(ANN)
    write(setup.store, [author.add(), author.use(3)])
    setup.change("dailycredits", {"user_id": ANN}, holds=garbage)
    recovered = recover(setup.store.load([ANN], NOON)[0], NOON, POLICY)

    write(setup.store, [author.hold(5)])

    assert recovered.account.holds() == []
    assert recovered.quarantined
    day = setup.document("dailycredits")
    assert day["credits_held"] == 5
    assert day["holds"][-1]["credit_amount"] == 5


def test_what_is_no_hold_stays_in_the_list_and_holds_nothing(embedded: MongoSetup) -> None:
    author = Holder(ANN)
    write(embedded.store, [author.add(), author.use(3)])
    embedded.change("dailycredits", {"user_id": ANN}, holds=[1, None, {"hold_id": 3}])

    placed = author.hold(5)
    write(embedded.store, [placed])
    write(embedded.store, [author.release(placed)])

    day = embedded.document("dailycredits")
    assert (day["holds"], day["credits_held"]) == ([1, None, {"hold_id": 3}], 0)
