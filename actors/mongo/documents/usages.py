"""Usage records as documents, written by us and read back whoever wrote them."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bson import Int64
from pydantic import ValidationError

from actors.mongo.ids import as_stored, name_of, shown, stored_id
from domain.api.answers import DaySource, PackSource, Source, TokenCounts
from domain.api.usage_answers import PriceRecord, UsageRecord
from domain.charges import UsageRecorded
from domain.documents.subscriptions import UnreadableError, amount
from domain.messages import Entry, charge_in
from domain.pricing import Price
from domain.usage_facts import KINDS, LABELS, counts_of, facts_of


def usage_document(entry: Entry) -> dict[str, Any]:
    """Return a charge as the usages collection holds it."""
    change = charge_in(entry.change)
    assert change is not None, "usages are entries that charge"
    opening, facts = change.opening, facts_of(change)
    count = facts.pop("token_count")
    document = {
        "_id": stored_id(change.usage_id),
        "user_id": stored_id(entry.user_id),
        "subscription_id": None if opening is None else as_stored(opening.subscription_id),
        "service_type": change.service_type,
        "credit_amount": Int64(change.credit_amount),
        "token_count": None if count is None else Int64(count),
        "model_used": facts.pop("model_used"),
        "timestamp": change.timestamp,
        **facts,
        "details": None if change.details is None else json.loads(change.details),
        "price": None if change.price is None else price_document(change.price),
        "date": None if opening is None else opening.starts_at,
        "seq": Int64(entry.seq),
        "created_at": entry.at,
        "sources": source_documents(change),
    }
    if change.uncovered_credits:
        document["uncovered_credits"] = Int64(change.uncovered_credits)
    if change.settles is not None:
        document["late"] = True
    if change.tokens is not None:
        document["tokens"] = {kind: Int64(n) for kind, n in counts_of(change.tokens).items()}
    return document


def source_documents(change: UsageRecorded) -> list[dict[str, Any]]:
    """Return where a charge's credits came from, in the order in which they were taken."""
    sources: list[dict[str, Any]] = []
    if change.opening is not None and change.day_amount:
        sources.append(
            {
                "source": "day",
                "date": change.opening.starts_at,
                "credit_amount": Int64(change.day_amount),
            }
        )
    sources += [
        {
            "source": "pack",
            "pack_id": as_stored(share.pack_id),
            "credit_amount": Int64(share.credit_amount),
        }
        for share in change.packs
    ]
    return sources


def price_document(price: Price) -> dict[str, Any]:
    """Return the price of a charge. A rate is text: exact, and what every language can read."""
    document: dict[str, Any] = {
        "service": price.service,
        "model": price.model,
        "credits_per_unit": f"{price.credits_per_unit:f}",
        "unit_size": Int64(price.unit_size),
        "effective_from": price.effective_from,
        "effective_until": price.effective_until,
    }
    if price.by_kind is not None:
        document["by_kind"] = {kind: f"{getattr(price.by_kind, kind):f}" for kind in KINDS}
    return document


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
        details=json.loads(json.dumps(details, default=str)) if isinstance(details, dict) else None,
        timestamp=timestamp,
        price=_read_price(document.get("price")),
        sources=list(_sources(document)),
        uncovered_credits=_amount(document.get("uncovered_credits")) or 0,
        late=document.get("late") is True,
        reversed_credits=_reversed(document),
        tokens=_tokens(document.get("tokens")),
        **{name: _text(document.get(name)) for name in LABELS},
    )


def _sources(document: Mapping[str, Any]) -> Iterator[Source]:
    """Yield what can be read of where a charge's credits came from."""
    sources, date = document.get("sources"), document.get("date")
    if sources is None:  # A record of an older version took all of its day; others charge nothing.
        whole = _amount(document.get("credit_amount"))
        if document.get("seq") is not None and whole and isinstance(date, datetime):
            yield DaySource(date=date, credit_amount=whole)
        return
    for source in sources if isinstance(sources, list) else ():
        if not isinstance(source, dict):
            continue
        part, day = _amount(source.get("credit_amount")), source.get("date")
        match source.get("source"):
            case "day" if part is not None and isinstance(day, datetime):
                yield DaySource(date=day, credit_amount=part)
            case "pack" if part is not None and source.get("pack_id") is not None:
                yield PackSource(pack_id=shown(source["pack_id"]), credit_amount=part)


def _reversed(document: Mapping[str, Any]) -> int:
    """Return what went back of a charge: never more than it was."""
    whole = _amount(document.get("credit_amount")) or 0
    return min(whole, _amount(document.get("reversed_credits")) or 0)


def reversed_fields(document: Mapping[str, Any], reversed_credits: int) -> dict[str, Any]:
    """Return what a record is to say after so much of it went back: last-taken sources first."""
    sources = document.get("sources")
    fields: dict[str, Any] = {"reversed_credits": Int64(reversed_credits)}
    if not isinstance(sources, list) or not all(isinstance(s, dict) for s in sources):
        return fields  # A record of an older version: all of it is its day's.
    left, changed = reversed_credits, []
    for source in reversed(sources):
        part = min(left, _amount(source.get("credit_amount")) or 0)
        left -= part
        changed.append({**source, "reversed_credits": Int64(part)} if part else source)
    return fields | {"sources": changed[::-1]}


def with_source_ids_spelled(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its ids as accounts spell them."""
    subscription_id, sources = document.get("subscription_id"), document.get("sources")
    read = {**document, "_id": name_of(document["_id"])}
    read["subscription_id"] = None if subscription_id is None else name_of(subscription_id)
    if isinstance(sources, list):
        read["sources"] = [
            {**source, "pack_id": name_of(source["pack_id"])}
            if isinstance(source, dict) and source.get("pack_id") is not None
            else source
            for source in sources
        ]
    return read


def _read_price(value: object) -> PriceRecord | None:
    """Return the price of a record of ours; another program's words are no price."""
    try:
        return PriceRecord.model_validate(value)
    except ValidationError:
        return None


def _tokens(value: object) -> TokenCounts | None:
    """Return tokens by kind; what cannot be read of them counts as none."""
    if not isinstance(value, Mapping):
        return None
    return TokenCounts(**{kind: _amount(value.get(kind)) or 0 for kind in KINDS})


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _shown(value: object) -> str | None:
    return None if value is None else shown(value)


def _amount(value: object) -> int | None:
    try:
        return None if value is None else amount(value, "amount")
    except UnreadableError:
        return None
