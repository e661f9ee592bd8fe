"""Writes what few entries change: packs, records of which something went back, expired holds."""

from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.client_session import ClientSession

from actors.mongo.documents.holds import lapsed_hold
from actors.mongo.documents.packs import pack_writes
from actors.mongo.documents.usages import reversed_fields
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import key_of, stored_id
from domain.documents.views import AccountViews


def write_rest(database: Documents, views: Sequence[AccountViews], session: ClientSession) -> None:
    """Bring these documents forward, after usage records are there. Raises PyMongoError."""
    packs = [write for view in views for pack in view.packs.values() for write in pack_writes(pack)]
    if packs:  # In order: a new pack comes before what changes it.
        database.packs.bulk_write(packs, session=session)
    _write_reversals(database, views, session)
    lapsed: list[UpdateOne] = []
    for view in views:
        for hold in view.lapsed.values():
            document = lapsed_hold(hold, view.user_id)
            lapsed.append(UpdateOne({"_id": document.pop("_id")}, {"$set": document}, upsert=True))
        closed = {"$set": {"is_closed": True}}
        lapsed += [UpdateOne({"_id": hold_id}, closed) for hold_id in view.settled_late]
    if lapsed:
        database.allotment_lapsed_holds.bulk_write(lapsed, ordered=False, session=session)


def _write_reversals(
    database: Documents, views: Sequence[AccountViews], session: ClientSession
) -> None:
    """Have usage records say what went back of them; those that are gone are passed over."""
    # Each reversal tells the sum of all so far: the last one counts.
    sums = {r.usage_id: r.reversed_credits for view in views for r in view.reversals}
    if not sums:
        return
    ids = {key_of(stored_id(usage_id)): usage_id for usage_id in sums}
    where = {"_id": {"$in": [*map(stored_id, sums)]}}
    found = database.usages.find(where, ["credit_amount", "sources"], session=session)
    changes: list[UpdateOne] = []
    for document in found:
        fields: dict[str, Any] = reversed_fields(document, sums[ids[key_of(document["_id"])]])
        changes.append(UpdateOne({"_id": document["_id"]}, {"$set": fields}))
    if changes:
        database.usages.bulk_write(changes, ordered=False, session=session)
