"""Holds subscriptions and days to the rules of the accounting, a part of them at a time.

* `total_credits` is `system_portion` plus `spendable_credits`, where all three are there.
* `credits_charged` of a day, which only our views change, is the sum of the journal's charges to
  that day since its document was made, less what was reversed. `credits_used` is not held to it: another program may edit it. Days that the journal
  no longer tells in full are passed over; so are those with more charges than are read.
* `credits_held` of a day is the sum of the open holds in its document.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any

from actors.mongo.accounts.marks import UNREADABLE
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import name_of, read_user_id
from actors.mongo.jobs.told_entries import (
    ToldEntries,
    Wanted,
    note_broken,
    note_unreadable,
    tells_in_full,
)
from actors.mongo.pages import pages_by_id
from actors.mongo.references import References, with_ids_spelled
from actors.protocol.reports import DIFFERING_USERS_MAX, Findings
from domain.charges import Opening
from domain.corrections import UsageReversed
from domain.documents.days import read_day, read_usage_day
from domain.documents.holds import read_holds
from domain.documents.subscriptions import UnreadableError, read_subscription, whole
from domain.messages import Change, Entry, charge_in
from domain.values import UserId

logger = logging.getLogger(__name__)
Document = dict[str, Any]


class MongoInvariants:
    """Checks on from where it stopped, and begins anew at the end."""

    def __init__(self, database: Documents, timezone: str) -> None:
        self._database = database
        self._told = ToldEntries(database)
        self._zone = timezone
        self._after: object = None

    def check(self, limit: int | None) -> Findings:
        """Check the documents of so many subscriptions, on from the last check's; None: of all."""
        found = Findings()
        after = None if limit is None else self._after
        with unavailable_on_error():
            self._name_broken(found)
            for page in pages_by_id(self._database.subscriptions, after, limit):
                self._check_page(page, found)
                found.checked += len(page)
                after = page[-1]["_id"]
        if limit is not None:
            self._after = after if found.checked == limit else None
        return found

    def _name_broken(self, found: Findings) -> None:
        """Name accounts whose journal could not be read when it was read last."""
        broken = self._database.allotment_accounts.find({UNREADABLE: {"$gt": ""}}, ["_id"])
        found.name(str(mark["_id"]) for mark in broken.limit(DIFFERING_USERS_MAX))

    def _check_page(self, page: Sequence[Document], found: Findings) -> None:
        for document in page:
            try:
                read_subscription(with_ids_spelled(document), self._zone)
                read_user_id(document.get("user_id"))
            except ValueError as error:
                note_unreadable(found, "subscription", document, error)
                continue
            if not totals_agree(document):
                note_broken(found, document, "subscription", "totals")
        references = References(document["_id"] for document in page)
        where = {"subscription_id": {"$in": [*references.values]}}
        days = list(references.read(self._database.dailycredits.find(where)))
        owners = {name_of(one["_id"]): one.get("user_id") for one in page}
        for day in days:
            try:
                read_usage_day(day, self._zone)
            except UnreadableError as error:
                owner = {"user_id": owners.get(day["subscription_id"])}  # It may name none.
                note_unreadable(found, "day", owner | day, error)
            if not holds_agree(day):
                note_broken(found, day, "day", "holds")
        for day in self._wrong_days([day for day in days if self._is_told(day)], found):
            note_broken(found, day, "day", "charges")

    def _is_told(self, day: Document) -> bool:
        """Say whether a view of ours has written a day's document, and it says which day it is."""
        try:
            read_day(day, self._zone)
        except UnreadableError:
            return False
        return isinstance(day.get("applied_seq"), int)

    def _wrong_days(self, days: Sequence[Document], found: Findings) -> Iterator[Document]:
        by_user: dict[UserId, list[Document]] = {}
        for day in sorted(days, key=lambda day: int(day["applied_seq"])):
            by_user.setdefault(UserId(str(day.get("user_id"))), []).append(day)
        newest = {u: Wanted(int(d[-1]["applied_seq"]), d[-1]["date"]) for u, d in by_user.items()}
        for user_id, entries in self._told.each(newest, found):
            for day in by_user[user_id]:
                charged = day.get("credits_charged")
                known_in_full = charged is not None and tells_in_full(entries, day["date"])
                if known_in_full and charges_of(entries, day) != charged:
                    yield day


def totals_agree(document: Document) -> bool:
    """Say whether a readable subscription's total is the sum of its parts, as far as it has them."""
    fields = ("total_credits", "system_portion", "spendable_credits")
    if any(document.get(field) is None for field in fields):
        return True
    total, system, spendable = (whole(document[field], field) for field in fields)
    return total == system + spendable


def charges_of(entries: Iterable[Entry], day: Document) -> int:
    """Return the sum of the charges to a day that its document contains: those since it was made."""
    name, since = str(day["subscription_id"]), day.get("since_seq")
    first = since if isinstance(since, int) else 0
    openings = (
        (opening, amount)
        for entry in entries
        if first <= entry.seq <= day["applied_seq"]
        for opening, amount in _uses(entry.change)
    )
    return sum(
        amount
        for opening, amount in openings
        if opening.subscription_id == name and opening.starts_at == day["date"]
    )


def _uses(change: Change) -> Iterator[tuple[Opening, int]]:
    """Yield the day that a change charges, and how much; less than 0: it gives back."""
    charge = charge_in(change)
    if charge is not None and charge.opening is not None:
        yield charge.opening, charge.day_amount
    elif isinstance(change, UsageReversed) and change.opening is not None:
        yield change.opening, -change.day_amount


def holds_agree(document: Document, day: date | None = date.min) -> bool:
    """Say whether `credits_held` is the sum of the holds in a day's document; `day` None: a pack's."""
    held = document.get("credits_held", 0)
    holds, unreadable = read_holds(document, day)
    return bool(unreadable) or held == sum(hold.credit_amount for hold in holds)
