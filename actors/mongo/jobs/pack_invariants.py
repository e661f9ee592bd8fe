"""Holds packs to the rules of the accounting, a part of them at a time.

* `amount` is `system_portion` plus `spendable_credits` plus what was taken back, where all are there.
* `credits_charged` of a pack, which only our views change, is what the journal's charges took from
  it, less what was reversed. Packs that the journal no longer tells in full are passed over.
* `credits_held` is the sum of the open holds in its document.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import read_user_id
from actors.mongo.instants import UNIX_START
from actors.mongo.jobs.invariants import holds_agree
from actors.mongo.jobs.told_entries import (
    ToldEntries,
    Wanted,
    note_broken,
    note_unreadable,
    tells_in_full,
)
from actors.mongo.pages import pages_by_id
from actors.mongo.references import with_ids_spelled
from actors.protocol.reports import Findings
from domain.corrections import UsageReversed
from domain.documents.packs import read_pack
from domain.documents.subscriptions import whole
from domain.messages import Change, Entry, charge_in
from domain.sources import PackShare
from domain.values import UserId

Document = dict[str, Any]


class PackInvariants:
    """Checks on from where it stopped, and begins anew at the end."""

    def __init__(self, database: Documents) -> None:
        self._database = database
        self._told = ToldEntries(database)
        self._after: object = None

    def check(self, limit: int | None) -> Findings:
        """Check so many packs, on from the last check's; None: all. Counts none as checked."""
        found, checked = Findings(), 0
        after = None if limit is None else self._after
        with unavailable_on_error():
            for page in pages_by_id(self._database.packs, after, limit):
                self._check_page(page, found)
                checked += len(page)
                after = page[-1]["_id"]
        if limit is not None:
            self._after = after if checked == limit else None
        return found

    def _check_page(self, page: Sequence[Document], found: Findings) -> None:
        ours: list[Document] = []
        for document in map(with_ids_spelled, page):
            try:
                read_pack(document)
                read_user_id(document.get("user_id"))
            except ValueError as error:
                note_unreadable(found, "pack", document, error)
                continue
            if not totals_agree(document):
                note_broken(found, document, "pack", "totals")
            if not holds_agree(document, None):
                note_broken(found, document, "pack", "holds")
            if isinstance(document.get("applied_seq"), int):
                ours.append(document)
        for document in self._wrong(ours, found):
            note_broken(found, document, "pack", "charges")

    def _wrong(self, packs: Sequence[Document], found: Findings) -> Iterator[Document]:
        wanted: dict[UserId, Wanted] = {}
        by_user: dict[UserId, list[Document]] = {}
        for pack in packs:
            user_id, mine = _user(pack), Wanted(int(pack["applied_seq"]), _begin(pack))
            known = wanted.get(user_id, mine)
            newest, since = max(known.newest, mine.newest), min(known.since, mine.since)
            wanted[user_id] = Wanted(newest, since)
            by_user.setdefault(user_id, []).append(pack)
        for user_id, entries in self._told.each(wanted, found):
            for pack in by_user[user_id]:
                charged = pack.get("credits_charged")
                known_in_full = charged is not None and tells_in_full(entries, _begin(pack))
                if known_in_full and charges_of(entries, pack) != charged:
                    yield pack


def totals_agree(document: Document) -> bool:
    """Say whether a readable pack's amount is the sum of its parts, as far as it has them."""
    parts = ("system_portion", "spendable_credits")
    if any(document.get(field) is None for field in ("amount", *parts)):
        return True
    taken = (document.get(field) or 0 for field in ("refunded_credits", "taken_back_credits"))
    given = (document[field] for field in parts)
    return whole(document["amount"], "amount") == sum(whole(n, "amount") for n in (*given, *taken))


def charges_of(entries: Iterable[Entry], pack: Document) -> int:
    """Return the sum of what charges took from a pack, as far as its document contains them."""
    return sum(
        share.credit_amount * sign
        for entry in entries
        if entry.seq <= pack["applied_seq"]
        for share, sign in _shares(entry.change)
        if share.pack_id == pack["_id"]
    )


def _shares(change: Change) -> Iterator[tuple[PackShare, int]]:
    """Yield (what a change takes from a pack, 1), or (what it gives back, -1)."""
    charge = charge_in(change)
    if charge is not None:
        yield from ((share, 1) for share in charge.packs)
    elif isinstance(change, UsageReversed):
        yield from ((share, -1) for share in change.packs)


def _user(pack: Document) -> UserId:
    return UserId(str(pack.get("user_id")))


def _begin(pack: Document) -> datetime:
    created_at = pack.get("created_at")
    return created_at if isinstance(created_at, datetime) else UNIX_START
