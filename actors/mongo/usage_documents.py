"""Usage records as documents, written by us and read back whoever wrote them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import Int64
from pydantic import ValidationError

from actors.mongo.ids import as_stored, shown, stored_id
from domain.answers import PriceRecord, UsageRecord
from domain.foreign import UnreadableError, amount
from domain.messages import Entry, charge_in
from domain.pricing import Price


def usage_document(entry: Entry) -> dict[str, Any]:
    """Return a charge as the usages collection holds it."""
    change = charge_in(entry.change)
    assert change is not None, "usages are entries that charge"
    return {
        "_id": stored_id(change.usage_id),
        "user_id": stored_id(entry.user_id),
        "subscription_id": as_stored(change.opening.subscription_id),
        "service_type": change.service_type,
        "credit_amount": Int64(change.credit_amount),
        "token_count": None if change.token_count is None else Int64(change.token_count),
        "model_used": change.model_used,
        "timestamp": change.timestamp,
        "session_id": change.session_id,
        "details": None if change.details is None else json.loads(change.details),
        "price": None if change.price is None else price_document(change.price),
        "date": change.opening.starts_at,
        "seq": Int64(entry.seq),
        "created_at": entry.at,
    }


def price_document(price: Price) -> dict[str, Any]:
    """Return the price of a charge. A rate is text: exact, and what every language can read."""
    return {
        "service": price.service,
        "model": price.model,
        "credits_per_unit": f"{price.credits_per_unit:f}",
        "unit_size": Int64(price.unit_size),
        "effective_from": price.effective_from,
        "effective_until": price.effective_until,
    }


def read_usage(document: Mapping[str, Any]) -> UsageRecord:
    """Return a usage record, whoever wrote it: what cannot be read counts as nothing."""
    timestamp = document["timestamp"]
    assert isinstance(timestamp, datetime), "the query matches dates only"
    details = document.get("details")
    return UsageRecord(
        usage_id=shown(document["_id"]),
        user_id=str(document["user_id"]),
        subscription_id=_shown(document.get("subscription_id")),
        service_type=_text(document.get("service_type")),
        credit_amount=_amount(document.get("credit_amount")) or 0,
        token_count=_amount(document.get("token_count")),
        model_used=_text(document.get("model_used")),
        session_id=_text(document.get("session_id")),
        details=json.loads(json.dumps(details, default=str)) if isinstance(details, dict) else None,
        timestamp=timestamp,
        price=_read_price(document.get("price")),
    )


def _read_price(value: object) -> PriceRecord | None:
    """Return the price of a record of ours; another program's words are no price."""
    try:
        return PriceRecord.model_validate(value)
    except ValidationError:
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _shown(value: object) -> str | None:
    return None if value is None else shown(value)


def _amount(value: object) -> int | None:
    try:
        return None if value is None else amount(value, "amount")
    except UnreadableError:
        return None
