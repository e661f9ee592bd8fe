"""Open holds in the document of their day or pack: put there and taken out by what the server has.

A day without holds has none of the fields, so a plain charge and a plain load cost what they did.
"""

from collections.abc import Mapping
from typing import Any

from bson import Int64

from actors.mongo.ids import stored_id
from domain.documents.holds import hold_document
from domain.documents.pack_views import PackView
from domain.documents.packs import lapsed_document
from domain.documents.views import DayView
from domain.holds import LapsedHold
from domain.values import UserId

_HAS_HOLDS = {"$isArray": "$holds"}


def holds_stages(view: DayView | PackView) -> list[dict[str, Any]]:
    """Return the stages of an update that bring a document's holds forward; none where they stay.

    Nothing is read before: of two writers each takes out and adds its own. What another program
    put in the place of the list is no list of holds, and gives way.
    """
    if not view.placed and not view.freed:
        return []
    kept = {
        "$filter": {
            "input": {"$cond": [_HAS_HOLDS, "$holds", []]},
            "as": "hold",
            "cond": {"$eq": [{"$in": ["$$hold.hold_id", list(view.freed)]}, False]},
        }
    }
    placed = [{"$literal": _typed(hold_document(hold))} for hold in view.placed]
    return [
        {"$set": {"holds": {"$concatArrays": [kept, placed]}}},
        {
            "$set": {
                "credits_held": {"$add": [Int64(0), {"$sum": _each("credit_amount")}]},
                "holds_until": {"$min": _each("expires_at")},
            }
        },
    ]


def lapsed_hold(lapsed: LapsedHold, user_id: UserId) -> dict[str, Any]:
    """Return a hold that can be settled late as its document; it is deleted at `until`."""
    document = _typed(lapsed_document(lapsed))
    return {"_id": lapsed.hold.hold_id, "user_id": stored_id(user_id), **document}


def _typed(document: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {
        name: Int64(document[name])
        for name in ("credit_amount", "token_count", "total_amount")
        if document.get(name) is not None
    }
    return {**document, **numbers}


def _each(field: str) -> dict[str, Any]:
    # Spelled out: not every server takes "$holds.field" for the values of all of them.
    return {"$map": {"input": "$holds", "as": "hold", "in": f"$$hold.{field}"}}
