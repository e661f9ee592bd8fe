"""Which packs have expired and do not say so yet."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from actors.janitor.expiry import Page
from actors.janitor.pack_expiry import EndedPack
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.owner import user_of
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import name_of
from actors.mongo.instants import FIRST_DATE
from actors.mongo.references import with_ids_spelled
from domain.documents.packs import read_pack
from domain.documents.subscriptions import UnreadableError

MOVED_WITHIN = timedelta(days=7)
"""An expiry that another program has moved, after it was written down, is found for so long."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: an expiry, and what of that expiry was read before."""

    moved: bool = False
    """Packs are read of which another expiry is written down; the others were read before."""
    since: datetime = FIRST_DATE
    seen: frozenset[str] = frozenset()


class MongoEndedPacks:
    """Reads packs by expiry: first those of which none was ever written down."""

    def __init__(self, database: Documents) -> None:
        self._packs = database.packs

    def ended_packs(self, now: datetime, limit: int, cursor: object | None) -> Page[EndedPack]:
        """Return a page of about `limit` packs with an expiry up to `now`."""
        place = cursor if isinstance(cursor, _Place) else _Place()
        length = limit + len(place.seen)
        with unavailable_on_error():
            found = list(self._packs.find(_where(place, now)).sort("expires_at", 1).limit(length))
        fresh = [document for document in found if name_of(document["_id"]) not in place.seen]
        page, unreadable = [], 0
        for document in fresh:
            try:
                pack, _ = read_pack(with_ids_spelled(document))
            except UnreadableError:
                unreadable += 1
                continue
            user_id = user_of(document)
            if user_id is None:
                unreadable += 1
            elif pack.expires_at is not None and not pack.is_expiry_written:
                page.append(EndedPack(user_id, pack.pack_id, pack.expires_at))
        following = _after(place, found) if len(found) == length else _next(place, now)
        return Page(page, unreadable, following)


def _where(place: _Place, now: datetime) -> dict[str, Any]:
    due = {"$gte": place.since, "$lte": now}
    if not place.moved:
        return {"expired_at": None, "expires_at": due}
    is_other = {"$ne": ["$expired_at", "$expires_at"]}
    return {"expires_at": due, "expired_at": {"$gt": FIRST_DATE}, "$expr": is_other}


def _after(place: _Place, found: list[dict[str, Any]]) -> _Place:
    last = found[-1]["expires_at"]
    seen = frozenset(name_of(d["_id"]) for d in found if d["expires_at"] == last)
    return replace(place, since=last, seen=seen)


def _next(place: _Place, now: datetime) -> _Place | None:
    return None if place.moved else _Place(moved=True, since=max(FIRST_DATE, now - MOVED_WITHIN))
