"""A life with every kind of journal entry, and what MongoDB holds of it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from actors.mongo.ids import stored_id
from actors.protocol.queries import UsageQuery
from domain.account import Account
from domain.api.render import status_answer
from domain.charges import OnInsufficient
from domain.decide import Decision
from domain.documents.recovery import recover
from domain.grants import Grant, Void
from domain.holds import HoldPlaced, PlaceHold, SettleHold
from domain.messages import (
    AddCredit,
    Command,
    CreditsAdded,
    Entry,
    GrantFromStripe,
    RecordUsage,
)
from domain.pricing import Price, PriceList
from domain.stripe import ApplyStripeState, StripeItem, StripeLink, VoidGrants
from domain.values import Credits, Policy, Status, UserId, owned_id
from tests.builders.authors import views_of
from tests.builders.ledger import NOON, ONE_DAY, USER, Ledger, pay
from tests.fakes.setups import MongoSetup, mongomock_setup

BOB = UserId("bob")
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
PRICE = Price("chat", "m-*", Decimal("0.3"), 10, SINCE)
POLICY = Policy(prices=PriceList((PRICE,)))
VIEWS = ("subscriptions", "dailycredits", "usages", "allotment_accounts")
JOURNAL = "allotment_journal"
HALF = 13
"""So many entries are in the first views: among them holds that later ones settle."""

STATUS_AT = [NOON + days * ONE_DAY for days in (0, 3, 4, 5, 30, 400)]


class Diary(Ledger):
    """A ledger that keeps the command of each entry."""

    def __init__(self) -> None:
        super().__init__(POLICY)
        self.commands: list[Command] = []

    def do(self, command: Command, now: datetime) -> Decision:
        before = len(self.entries)
        decision = super().do(command, now)
        self.commands += [command] * (len(self.entries) - before)
        return decision

    def place(self, amount: int, now: datetime, **fields: Any) -> str:
        decision = self.do(PlaceHold(USER, "chat", Credits(amount), 86_400, **fields), now)
        assert isinstance(decision, HoldPlaced), decision
        return decision.hold.hold_id


def life() -> Diary:
    """Return a life of a month. What a settlement does by default is not part of it."""
    diary, now = Diary(), NOON
    diary.open_day(now)
    diary.add(3000, 30, now, timezone="Europe/Berlin")
    diary.add(3000, 30, now, transaction_id="transaction 1")
    _charge(diary, now)
    _hold(diary, now)
    now += 3 * ONE_DAY
    _follow_stripe(diary, now)
    now += ONE_DAY
    diary.open_day(now)
    diary.change(now, status=Status.PAST_DUE)
    diary.change(now, end=NOON + 20 * ONE_DAY)
    diary.charge(10, now)
    diary.held(10, now)
    now += 30 * ONE_DAY
    for number, _ in enumerate(diary.account.subscriptions):
        diary.expire(now, number)
    diary.charge(1, now)
    diary.add(100, 3, now)
    diary.charge(30, now)
    return diary


def _charge(diary: Diary, now: datetime) -> None:
    diary.charge(30, now)
    full = RecordUsage(
        *(USER, "image", Credits(5), now - ONE_DAY),
        token_count=1234,
        model_used="m-1",
        session_id="s-1",
        details='{"a": {"b": [1, 2.5, null]}}',
    )
    diary.do(full, now)
    diary.do(RecordUsage(USER, "chat", None, token_count=90, model_used="m-1"), now)
    diary.charge(1000, now)
    diary.charge(100_000, now)
    diary.record(60, now)
    diary.add(600, 20, now)


def _hold(diary: Diary, now: datetime) -> None:
    kept, over, freed = (diary.place(n, now + ONE_DAY) for n in (30, 20, 10))
    now += ONE_DAY
    placing = PlaceHold(
        *(USER, "chat", Credits(500), 60, now - ONE_DAY, OnInsufficient.RECORD),
        token_count=7,
        model_used="m-1",
        session_id="s-1",
        details='{"a": 1}',
    )
    recorded = diary.do(placing, now)
    assert isinstance(recorded, HoldPlaced)
    less = SettleHold(*(USER, recorded.hold.hold_id, None, OnInsufficient.REJECT), token_count=20)
    diary.do(less, now)
    diary.open_day(now + timedelta(hours=20))
    now += timedelta(hours=20)
    details = SettleHold(
        *(USER, kept, Credits(20)), token_count=9, model_used="m-2", details='{"b": 2}'
    )
    diary.do(details, now)
    diary.do(SettleHold(USER, over, Credits(900), on_insufficient=OnInsufficient.REJECT), now)
    diary.do(SettleHold(USER, over, Credits(40), on_insufficient=OnInsufficient.RECORD), now)
    diary.release(freed, now)
    diary.release(freed, now)
    diary.expire_hold(diary.held(1, now, seconds=60), now + timedelta(seconds=60))


def _follow_stripe(diary: Diary, now: datetime) -> None:
    link = StripeLink(
        *("sub_1", "cus_1", "active", NOON, now + 30 * ONE_DAY, None, None),
        (StripeItem("price_1", 2),),
        1,
    )
    diary.do(ApplyStripeState(USER, link), now)
    period = now, now + 30 * ONE_DAY
    diary.do(GrantFromStripe(USER, Credits(900), *period, pay("in_1 line"), "sub_1"), now)
    diary.do(VoidGrants(USER, "in_1", 1, 3, 1), now)
    diary.do(ApplyStripeState(USER, replace(link, status="past_due", version=2)), now)
    diary.do(VoidGrants(USER, "in_1", 3, 3, 2), now + ONE_DAY)


def joined() -> Diary:
    """Return a life that goes on where another program had written a subscription."""
    diary = Diary()
    diary.account = Account(BOB)
    diary.do(AddCredit(BOB, Credits(10), 1, pay("t")), NOON)
    (entry,) = diary.entries
    assert isinstance(entry.change, CreditsAdded)
    voids = (Void(date(2026, 3, 4), 1, 2),)
    implied = Grant(None, Credits(300), Credits(0), date(2026, 3, 1), 30, "t-0", voids, "sub_1", 3)
    diary.entries = [replace(entry, change=replace(entry.change, made_explicit=(implied,)))]
    return diary


# --- in MongoDB ---------------------------------------------------------------------------


def journal(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the documents of entries."""
    setup = mongomock_setup()
    setup.store.append(entries)
    return list(setup.database[JOURNAL].find().sort([("user_id", 1), ("seq", 1)]))


def views(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """Yield the views' documents, as they are after half of the entries and after all."""
    for count in (HALF, len(entries)):
        setup = mongomock_setup()
        setup.store.append(entries[:count])
        setup.store.write_views(views_of(*entries[:count]))
        for name in VIEWS:
            for place, document in enumerate(setup.database[name].find().sort("_id")):
                if name == "dailycredits":  # The ends of their ids are drawn by lot.
                    own = owned_id(document["date"], USER, f"{place:08x}")
                    document["_id"] = stored_id(own)
                yield {"entries": count, "collection": name, "document": document}


def readings(setup: MongoSetup) -> list[dict[str, Any]]:
    """Return what a database is read to: statuses, usage records."""
    found = []
    for now in STATUS_AT:
        (stored,) = setup.store.load([USER], now)
        status = status_answer(recover(stored, now, POLICY).account, now, POLICY)
        found.append(status.model_dump(mode="json"))
    query = UsageQuery(USER, SINCE, SINCE + 400 * ONE_DAY, 100, None)
    return [*found, setup.reads.usage_page(query).model_dump(mode="json")]
