"""Which subscriptions have ended and do not say so yet."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from actors.janitor.expiry import Ended, Page
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.owner import user_of
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import name_of
from actors.mongo.instants import FIRST_DATE
from actors.mongo.references import with_ids_spelled
from domain.documents.subscriptions import UnreadableError, read_subscription
from domain.values import CURRENT_STATUSES

STATUSES = tuple(sorted(CURRENT_STATUSES))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: a status, an end, and what of that end was read before."""

    status: int = 0
    since: datetime = FIRST_DATE
    seen: frozenset[str] = frozenset()


class MongoEnded:
    """Reads by status and end, one after the other: both servers have an index for that."""

    def __init__(self, database: Documents, timezone: str) -> None:
        self._subscriptions = database.subscriptions
        self._timezone = timezone

    def ended(self, now: datetime, limit: int, cursor: object | None) -> Page[Ended]:
        """Return a page of about `limit` subscriptions with an end up to `now`."""
        place = cursor if isinstance(cursor, _Place) else _Place()
        where = {
            "status": str(STATUSES[place.status]),
            "end_date": {"$gte": place.since, "$lte": now},
        }
        length = limit + len(place.seen)
        with unavailable_on_error():
            found = list(self._subscriptions.find(where).sort("end_date", 1).limit(length))
        page: list[Ended] = []
        fresh = [document for document in found if name_of(document["_id"]) not in place.seen]
        for document in fresh:
            try:
                subscription = read_subscription(with_ids_spelled(document), self._timezone)
            except UnreadableError:
                continue
            user_id = user_of(document)
            if user_id is not None:
                page.append(Ended(user_id, subscription.subscription_id, subscription.end))
        following = _after(place, found) if len(found) == length else _next_status(place)
        return Page(page, len(fresh) - len(page), following)


def _after(place: _Place, found: list[dict[str, Any]]) -> _Place:
    last = found[-1]["end_date"]
    seen = frozenset(name_of(d["_id"]) for d in found if d["end_date"] == last)
    return replace(place, since=last, seen=seen)


def _next_status(place: _Place) -> _Place | None:
    return _Place(place.status + 1) if place.status + 1 < len(STATUSES) else None
