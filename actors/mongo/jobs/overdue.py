"""Which days and packs have a hold that is over."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from actors.janitor.expiry import Page
from actors.janitor.hold_expiry import OverdueHold
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.owner import user_of
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import name_of, spelled
from actors.mongo.instants import UNIX_START
from domain.documents.holds import read_holds

PACKS = 1  # Which of the collections has packs.
FIELDS = ("subscription_id", "user_id", "holds", "holds_until")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: an expiry, and the documents with it that were read before."""

    collection: int = 0
    since: datetime = UNIX_START
    seen: frozenset[str] = frozenset()


class MongoOverdue:
    """Reads days, then packs, by the expiry of their first hold."""

    def __init__(self, database: Documents) -> None:
        self._collections = (database.dailycredits, database.packs)

    def overdue_holds(self, now: datetime, limit: int, cursor: object | None) -> Page[OverdueHold]:
        """Return the holds of about `limit` days or packs that were over at `now`."""
        place = cursor if isinstance(cursor, _Place) else _Place()
        where = {"holds_until": {"$gte": place.since, "$lte": now}}
        length = limit + len(place.seen)
        with unavailable_on_error():
            collection = self._collections[place.collection]
            found = list(collection.find(where, FIELDS).sort("holds_until", 1).limit(length))
        fresh = [document for document in found if name_of(document["_id"]) not in place.seen]
        holds, unreadable = [], 0
        for document in fresh:
            named = list(_overdue(document, now, of_packs=place.collection == PACKS))
            unreadable += not named
            holds += named
        following = _after(place, found) if len(found) == length else _next(place)
        return Page(holds, unreadable, following)


def _overdue(document: dict[str, Any], now: datetime, *, of_packs: bool) -> Iterator[OverdueHold]:
    user_id = user_of(document)
    subscription_id = None if of_packs else spelled(document.get("subscription_id"))
    if user_id is None or (subscription_id is None and not of_packs):
        return
    readable, _ = read_holds(document, None if of_packs else date.min)
    for hold in readable:
        if hold.expires_at <= now:
            yield OverdueHold(user_id, subscription_id, hold.hold_id)


def _after(place: _Place, found: list[dict[str, Any]]) -> _Place:
    last = found[-1]["holds_until"]
    seen = frozenset(name_of(d["_id"]) for d in found if d["holds_until"] == last)
    return _Place(place.collection, last, seen)


def _next(place: _Place) -> _Place | None:
    return None if place.collection == PACKS else _Place(PACKS)
