"""Open holds in the document of their day: put there and taken out by what the server has.

A day without holds has none of the fields, so a plain charge and a plain load cost what they did.
"""

from collections.abc import Mapping
from typing import Any

from bson import Int64

from domain.holds import Hold
from domain.stored_holds import hold_document
from domain.views import DayView

_HAS_HOLDS = {"$isArray": "$holds"}


def holds_stages(view: DayView) -> list[dict[str, Any]]:
    """Return the stages of an update that bring a day's holds forward; none where they stay.

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
    placed = [{"$literal": _typed(hold)} for hold in view.placed]
    return [
        {"$set": {"holds": {"$concatArrays": [kept, placed]}}},
        {
            "$set": {
                "credits_held": {"$add": [Int64(0), {"$sum": _each("credit_amount")}]},
                "holds_until": {"$min": _each("expires_at")},
            }
        },
    ]


def _typed(hold: Hold) -> Mapping[str, Any]:
    document = hold_document(hold)
    numbers = {
        name: Int64(document[name])
        for name in ("credit_amount", "token_count")
        if document[name] is not None
    }
    return document | numbers


def _each(field: str) -> dict[str, Any]:
    # Spelled out: not every server takes "$holds.field" for the values of all of them.
    return {"$map": {"input": "$holds", "as": "hold", "in": f"$$hold.{field}"}}
