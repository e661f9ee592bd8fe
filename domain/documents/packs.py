"""Packs, charges and expired holds in documents, read back whoever wrote them.

A pack document is the truth whoever wrote it, as a subscription's is. Source: contract, section 8.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from domain.charges import Charge
from domain.documents.holds import hold_document, read_hold, read_holds
from domain.documents.subscriptions import (
    Document,
    Quarantined,
    UnreadableError,
    amount,
    instant,
    portions,
)
from domain.holds import LapsedHold
from domain.ids import kept_id
from domain.open_ends import is_open_end
from domain.packs import PRIORITY_DEFAULT, PRIORITY_MAX, Category, Pack, in_order
from domain.sources import PackShare
from domain.values import NO_CREDITS, Credits

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def read_packs(documents: Iterable[Document]) -> tuple[tuple[Pack, ...], list[Quarantined]]:
    """Return the readable packs in the order in which they are spent, and what cannot be read."""
    packs: list[Pack] = []
    quarantined: list[Quarantined] = []
    for document in documents:
        name = str(document.get("_id"))
        try:
            pack, reasons = read_pack(document)
        except UnreadableError as error:
            quarantined.append(Quarantined(name, str(error)))
            continue
        packs.append(pack)
        quarantined += [Quarantined(name, reason) for reason in reasons]
    return in_order(packs), quarantined


def read_pack(document: Document) -> tuple[Pack, list[str]]:
    """Return the pack a document describes, and what of it says nothing readable.

    Raises UnreadableError.
    """
    pack_id = kept_id(document)
    if pack_id is None:
        raise UnreadableError("its _id is too long, or of a type that is not kept")
    refunded = _amount_or_nothing(document, "refunded_credits")
    taken_back = _amount_or_nothing(document, "taken_back_credits")
    _, spendable = portions(document, "amount")
    if document.get("spendable_credits") is None:  # What was taken back is no part of the others.
        spendable = Credits(max(spendable - refunded - taken_back, 0))
    used = _amount_or_nothing(document, "credits_used")
    holds, reasons = read_holds(document, None)
    if used > spendable:  # It was lowered, maybe while a charge was on its way.
        reasons.append("credits_used is more than spendable_credits: nothing is left")
    payment = document.get("payment")
    transaction_id = payment.get("transaction_id") if isinstance(payment, Mapping) else None
    pack = Pack(
        pack_id,
        spendable,
        _priority(document),
        _category(document),
        _LONG_AGO if document.get("created_at") is None else instant(document, "created_at"),
        _expiry(document),
        used,
        tuple(sorted(holds, key=lambda hold: (hold.expires_at, hold.hold_id))),
        None if transaction_id is None else str(transaction_id),
        _moment_or_none(document, "expired_at"),
        refunded,
        taken_back,
        _amount_or_nothing(document, "share_version"),
    )
    return pack, reasons


def _priority(document: Document) -> int:
    value = document.get("priority")
    priority = PRIORITY_DEFAULT if value is None else amount(value, "priority")
    if priority > PRIORITY_MAX:
        raise UnreadableError(f"priority is more than {PRIORITY_MAX}")
    return priority


def _category(document: Document) -> Category:
    value = document.get("category")
    try:
        return Category.PAID if value is None else Category(str(value))
    except ValueError as error:
        raise UnreadableError("category is unknown") from error


def _expiry(document: Document) -> datetime | None:
    if document.get("expires_at") is None:
        return None
    expires_at = instant(document, "expires_at")
    return None if is_open_end(expires_at) else expires_at


def _moment_or_none(document: Document, field: str) -> datetime | None:
    return instant(document, field) if isinstance(document.get(field), datetime) else None


def _amount_or_nothing(document: Document, field: str) -> Credits:
    value = document.get(field)
    return NO_CREDITS if value is None else Credits(amount(value, field))


# --- what is recalled ---------------------------------------------------------------------


def read_charge(document: Document, day: date | None) -> Charge | None:
    """Return a charge of ours as its usage record has it; None: nothing was ever charged for it.

    `day`: which day of its subscription its `date` is. A store gives ids as text.
    """
    if document.get("seq") is None:  # Another program's record charges nothing.
        return None
    whole = _amount_or_nothing(document, "credit_amount")
    sources = document.get("sources")
    packs = tuple(
        PackShare(
            str(source.get("pack_id")), Credits(amount(source.get("credit_amount"), "sources"))
        )
        for source in (sources if isinstance(sources, list) else ())
        if isinstance(source, Mapping) and source.get("source") == "pack"
    )
    of_packs = sum(share.credit_amount for share in packs)
    if of_packs > whole:
        raise UnreadableError("sources give more than credit_amount")
    subscription_id = document.get("subscription_id")
    return Charge(
        str(document["_id"]),
        None if subscription_id is None else str(subscription_id),
        day,
        Credits(whole - of_packs),
        packs,
        _amount_or_nothing(document, "reversed_credits"),
    )


def lapsed_document(lapsed: LapsedHold) -> dict[str, Any]:
    """Return an expired hold as its document holds it. Numbers are plain; a store types them."""
    document = hold_document(lapsed.hold) | {"until": lapsed.until}
    return document | {"is_closed": True} if lapsed.is_closed else document


def read_lapsed(document: Document) -> LapsedHold:
    """Return an expired hold. Raises UnreadableError."""
    is_closed = document.get("is_closed") is True
    return LapsedHold(read_hold(document, None), instant(document, "until"), is_closed)
