"""Holds subscriptions and days to the rules of the accounting, a part of them at a time.

* `total_credits` is `system_portion` plus `spendable_credits`, where all three are there.
* `credits_charged` of a day, which only our views raise, is the sum of the journal's charges to
  that day. `credits_used` is not held to it: another program may edit it. Days that the journal
  no longer tells in full are passed over; so are those with more charges than are read.
* `credits_held` of a day is the sum of the open holds in its document.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice, pairwise
from typing import Any

from actors.mongo.connection import Documents, unavailable_on_error
from actors.mongo.ids import ranges_after, read_user_id
from actors.mongo.marks import UNREADABLE
from actors.mongo.references import References, with_ids_spelled
from actors.reports import DIFFERING_USERS_MAX, Findings
from domain.charges import Opening
from domain.codec import SpoiltEntry, entry_id, read_or_name
from domain.corrections import UsageReversed
from domain.foreign import UnreadableError, read_subscription, whole
from domain.messages import Change, Entry, charge_in
from domain.stored_days import read_usage_day
from domain.stored_holds import read_holds
from domain.values import UserId

PAGE = 200  # Subscriptions checked together.
STEPS = (16, 512)  # Newest entries of a user that are read; the second only if the first are few.
IDS_PER_QUERY_MAX = 1000

logger = logging.getLogger(__name__)
Document = dict[str, Any]


class MongoInvariants:
    """Checks on from where it stopped, and begins anew at the end."""

    def __init__(self, database: Documents, timezone: str) -> None:
        self._database = database
        self._zone = timezone
        self._after: object = None

    def check(self, limit: int | None) -> Findings:
        """Check the documents of so many subscriptions, on from the last check's; None: of all."""
        found = Findings()
        after = None if limit is None else self._after
        with unavailable_on_error():
            self._name_broken(found)
            for page in self._pages(after, limit):
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

    def _pages(self, after: object, limit: int | None) -> Iterator[list[Document]]:
        """Yield subscriptions by id, type by type."""
        left = limit
        for ids in ranges_after(after):
            if left == 0:
                return
            found = self._database.subscriptions.find({"_id": ids}).sort("_id", 1).limit(left or 0)
            while page := list(islice(found, PAGE)):
                yield page
                left = left and left - len(page)

    def _check_page(self, page: Sequence[Document], found: Findings) -> None:
        for document in page:
            try:
                read_subscription(with_ids_spelled(document), self._zone)
                read_user_id(document.get("user_id"))
            except ValueError as error:
                _quarantine(found, "subscription", document, error)
                continue
            if not totals_agree(document):
                self._note(found, document, "subscription", "totals")
        references = References(document["_id"] for document in page)
        where = {"subscription_id": {"$in": [*references.values]}}
        days = list(references.read(self._database.dailycredits.find(where)))
        for day in days:
            try:
                read_usage_day(day, self._zone)
            except UnreadableError as error:
                _quarantine(found, "day", day, error)
            if not holds_agree(day):
                self._note(found, day, "day", "holds")
        for day in self._wrong_days(
            [d for d in days if isinstance(d.get("applied_seq"), int)], found
        ):
            self._note(found, day, "day", "charges")

    def _wrong_days(self, days: Sequence[Document], found: Findings) -> Iterator[Document]:
        newest: dict[UserId, Document] = {}
        for day in sorted(days, key=lambda day: int(day["applied_seq"])):
            newest[UserId(str(day.get("user_id")))] = day
        known = self._entries(newest, found)
        for day in days:
            entries = known[UserId(str(day.get("user_id")))]
            charged = day.get("credits_charged")
            known_in_full = charged is not None and tells_in_full(entries, day["date"])
            if known_in_full and charges_of(entries, day) != charged:
                yield day

    def _entries(
        self, newest: dict[UserId, Document], found: Findings
    ) -> dict[UserId, list[Entry]]:
        """Return the newest entries of users that their newest days contain; name unreadable ones."""
        known: dict[UserId, list[Entry]] = {user_id: [] for user_id in newest}
        spoilt: dict[tuple[UserId, int], SpoiltEntry] = {}
        for step in STEPS:
            ids: list[str] = []
            for user_id, day in newest.items():
                if tells_in_full(known[user_id], day["date"]):
                    continue
                top = int(day["applied_seq"])
                first = max(top - step, 0) + 1
                ids += [entry_id(user_id, s) for s in range(first, top - len(known[user_id]) + 1)]
            for entry in self._read(ids):
                if isinstance(entry, SpoiltEntry):
                    spoilt[entry.user_id, entry.seq] = entry
                else:
                    known[entry.user_id].append(entry)
            for entries in known.values():
                entries.sort(key=lambda entry: entry.seq)
        for entry in spoilt.values():
            known[entry.user_id] = []  # What is known of their days is not all.
            self._quarantine(entry, found)
        return known

    def _quarantine(self, entry: SpoiltEntry, found: Findings) -> None:
        found.quarantined += 1
        found.name([entry.user_id])
        logger.warning("entry %d of %s cannot be read: %s", entry.seq, entry.user_id, entry.reason)

    def _read(self, ids: Sequence[str]) -> Iterator[Entry | SpoiltEntry]:
        for start in range(0, len(ids), IDS_PER_QUERY_MAX):
            part = ids[start : start + IDS_PER_QUERY_MAX]
            for document in self._database.allotment_journal.find({"_id": {"$in": part}}):
                entry = read_or_name(document)
                if entry is not None:
                    yield entry

    def _note(self, found: Findings, document: Document, kind: str, rule: str) -> None:
        found.invariants_broken += 1
        user = str(document.get("user_id"))
        if len(found.users) < DIFFERING_USERS_MAX:
            found.users.append(user)
            logger.warning("%s %s of %s breaks: %s", kind, document["_id"], user, rule)


def _quarantine(found: Findings, kind: str, document: Document, error: ValueError) -> None:
    found.quarantined += 1
    if found.quarantined <= DIFFERING_USERS_MAX:
        logger.warning("%s %s cannot be read: %s", kind, document["_id"], error)


def totals_agree(document: Document) -> bool:
    """Say whether a readable subscription's total is the sum of its parts, as far as it has them."""
    fields = ("total_credits", "system_portion", "spendable_credits")
    if any(document.get(field) is None for field in fields):
        return True
    total, system, spendable = (whole(document[field], field) for field in fields)
    return total == system + spendable


def tells_in_full(entries: Sequence[Entry], begin: datetime) -> bool:
    """Say whether consecutive entries go back to before an instant, or to the first of all."""
    gaps = any(later.seq - earlier.seq != 1 for earlier, later in pairwise(entries))
    return bool(entries) and not gaps and (entries[0].seq == 1 or entries[0].at < begin)


def charges_of(entries: Iterable[Entry], day: Document) -> int:
    """Return the sum of the charges to a day that its document contains."""
    name = str(day["subscription_id"])
    openings = (
        (opening, amount)
        for entry in entries
        if entry.seq <= day["applied_seq"]
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


def holds_agree(day: Document) -> bool:
    """Say whether `credits_held` of a day is the sum of the holds in its document."""
    held = day.get("credits_held", 0)
    holds, unreadable = read_holds(day, date.min)
    return bool(unreadable) or held == sum(hold.credit_amount for hold in holds)
