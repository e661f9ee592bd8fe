"""Which days have a hold that is over."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from actors.expiring import Page
from actors.expiring_holds import OverdueHold
from actors.mongo.connection import Documents, unavailable_on_error
from actors.mongo.ids import name_of, spelled
from actors.mongo.overview import user_of
from domain.stored_holds import read_holds

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FIELDS = ("subscription_id", "user_id", "holds", "holds_until")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: an expiry, and the days with that expiry that were read before."""

    since: datetime = BEGINNING
    seen: frozenset[str] = frozenset()


class MongoOverdue:
    """Reads days by the expiry of their first hold."""

    def __init__(self, database: Documents) -> None:
        self._days = database.dailycredits

    def overdue_holds(self, now: datetime, limit: int, cursor: object | None) -> Page[OverdueHold]:
        """Return the holds of about `limit` days that were over at `now`."""
        place = cursor if isinstance(cursor, _Place) else _Place()
        where = {"holds_until": {"$gte": place.since, "$lte": now}}
        length = limit + len(place.seen)
        with unavailable_on_error():
            found = list(self._days.find(where, FIELDS).sort("holds_until", 1).limit(length))
        fresh = [day for day in found if name_of(day["_id"]) not in place.seen]
        holds, unreadable = [], 0
        for day in fresh:
            named = list(_overdue(day, now))
            unreadable += not named
            holds += named
        return Page(holds, unreadable, _after(found) if len(found) == length else None)


def _overdue(day: dict[str, Any], now: datetime) -> Iterator[OverdueHold]:
    user_id = user_of(day)
    subscription_id = spelled(day.get("subscription_id"))
    if user_id is None or subscription_id is None:
        return
    readable, _ = read_holds(day, date.min)
    for hold in readable:
        if hold.expires_at <= now:
            yield OverdueHold(user_id, subscription_id, hold.hold_id)


def _after(found: list[dict[str, Any]]) -> _Place:
    last = found[-1]["holds_until"]
    return _Place(last, frozenset(name_of(d["_id"]) for d in found if d["holds_until"] == last))
