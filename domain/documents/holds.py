"""Open holds in the document of their day or pack, written by us and read back whoever wrote them."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from domain.documents.subscriptions import Document, UnreadableError, amount, instant
from domain.holds import Hold, holder_of
from domain.usage_facts import LABELS, facts_of
from domain.values import Credits

OUT_OF_REACH = "holds of a day that names its subscription in another type"
"""What a store gives in the place of holds that no view of ours can free."""


def hold_document(hold: Hold) -> dict[str, Any]:
    """Return a hold as its day's document holds it. Numbers are plain; a store types them."""
    document: dict[str, Any] = {
        "hold_id": hold.hold_id,
        "credit_amount": hold.credit_amount,
        "expires_at": hold.expires_at,
        "service_type": hold.service_type,
        **facts_of(hold),
        "timestamp": hold.timestamp,
        "date": hold.date.isoformat(),
    }
    return document if hold.total is None else document | {"total_amount": hold.total}


def read_holds(document: Document, day: date | None) -> tuple[list[Hold], list[str]]:
    """Return the readable holds of a document, and why others are not. These hold nothing.

    `day`: the document's; None: each hold names its own.
    """
    items = document.get("holds")
    if items is None:
        return [], []
    if items == OUT_OF_REACH:
        return [], [OUT_OF_REACH]
    if not isinstance(items, list):
        return [], ["holds is not a list"]
    holds: dict[str, Hold] = {}
    reasons: list[str] = []
    for item in items:
        try:
            hold = read_hold(item, day)
        except UnreadableError as error:
            reasons.append(f"holds: {error}")
        else:
            holds[hold.hold_id] = hold
    return list(holds.values()), reasons


def read_hold(item: object, day: date | None) -> Hold:
    """Return a hold; `day` is None where it names its own. Raises UnreadableError."""
    if not isinstance(item, Mapping):
        raise UnreadableError("a hold is not an object")
    hold_id, held = item.get("hold_id"), amount(item.get("credit_amount"), "credit_amount")
    if not isinstance(hold_id, str) or holder_of(hold_id) is None:
        raise UnreadableError("hold_id is none of ours")
    count, total = item.get("token_count"), item.get("total_amount")
    return Hold(
        hold_id,
        _day(item) if day is None else day,
        Credits(held),
        instant(item, "expires_at"),
        _text(item, "service_type") or "hold",
        instant(item, "timestamp"),
        None if total is None else Credits(amount(total, "total_amount")),
        token_count=None if count is None else amount(count, "token_count"),
        details=_details(item),
        **{name: _text(item, name) for name in LABELS},
    )


def _day(item: Mapping[str, Any]) -> date:
    try:
        return date.fromisoformat(str(item.get("date")))
    except ValueError as error:
        raise UnreadableError("date is not a calendar day") from error


def _text(item: Mapping[str, Any], field: str) -> str | None:
    value = item.get(field)
    if value is not None and not isinstance(value, str):
        raise UnreadableError(f"{field} is not a text")
    return value


def _details(item: Mapping[str, Any]) -> str | None:
    text = _text(item, "details")
    try:
        readable = text is None or isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        readable = False
    if not readable:
        raise UnreadableError("details is not the text of a JSON object")
    return text
