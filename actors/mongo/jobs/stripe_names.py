"""How the collections for Stripe name users, and how they are to name them from now on.

A Stripe subscription stays with the account that it was with: what Stripe tells later of a
renewal, a refund or an end goes to the anonymous user, and makes no documents for the old id.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson import Int64

from actors.stripe.records import EventState
from domain.documents.anonymization import TELLING_LENGTH, VOCABULARY, Renaming
from domain.values import UserId

NAMING = frozenset({"metadata", "client_reference_id", "description"})
"""Parts of Stripe's objects in which whoever made them may name a user."""


def find_stripe_events(database: Any, old: UserId, new: UserId) -> Sequence[Mapping[str, Any]]:
    """Return what finds the events of a user's subscriptions, and those that name the user.

    A short id may be a number or a word of Stripe's in any event: of others' only those are found
    that have it where users are named.
    """
    records = database.allotment_stripe_records
    subjects = [d["_id"] for d in records.find({"user_id": {"$in": [old, new]}}, ["_id"])]
    spelled = {json.dumps(old), json.dumps(old, ensure_ascii=False)}
    having: list[Mapping[str, Any]]
    having = [{"body": {"$regex": re.escape(text)}} for text in sorted(spelled)]
    if len(old) < TELLING_LENGTH:
        having = [{"_id": {"$in": list(_naming(database.allotment_stripe_events, having, old))}}]
    return [{"subject": {"$in": subjects}, "body": {"$ne": ""}}, *having]


def _naming(events: Any, having: Sequence[Mapping[str, Any]], user_id: UserId) -> Iterator[str]:
    """Yield the ids of events in whose text a part that may name users is this one's name."""
    for where in having:
        for document in events.find(where, ["body"]):
            said = _said(document["body"])
            if said is None or user_id in _names(said):
                yield document["_id"]


def renamed_record(renaming: Renaming, document: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a Stripe subscription as the anonymous user's, a revision later.

    Whoever has read it before cannot save what it comes to, and reads it again.
    """
    record = dict(document["record"])
    revision = int(document["revision"]) + 1
    for name in ("metadata_user", "reference_user"):
        if record.get(name) == renaming.old:
            record[name] = renaming.new
    is_theirs = document["user_id"] in (None, renaming.old)  # Else it only names the user.
    user = renaming.new if is_theirs else document["user_id"]
    record |= {"user_id": user, "revision": revision}
    record["anonymous"] = is_theirs or record.get("anonymous", False)
    return document | {"user_id": user, "revision": Int64(revision), "record": record}


def renamed_stripe_event(renaming: Renaming, document: dict[str, Any]) -> dict[str, Any]:
    """Return an event without the user: one that was applied loses its text altogether."""
    texts = {
        name: renaming.text(held)
        for name in ("last_error", "outcome")
        if isinstance(held := document.get(name), str)
    }
    if document["state"] == str(EventState.APPLIED):
        return document | texts | {"body": ""}
    return document | texts | {"body": _renamed_body(renaming, document["body"])}


def _renamed_body(renaming: Renaming, body: str) -> str:
    said = _said(body)
    if said is None:
        return ""
    plain = Renaming(renaming.old, renaming.new, renaming.old, renaming.new)
    return json.dumps(_within(plain, said), separators=(",", ":"), ensure_ascii=False)


def _said(body: str) -> Any:
    """Return what a text of Stripe's says; None: it is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _names(value: Any, *, may_name: bool = False) -> Iterator[Any]:
    """Yield what an object of Stripe's holds where users may be named."""
    match value:
        case dict():
            for name, held in value.items():
                if not (may_name and name in VOCABULARY):
                    yield from _names(held, may_name=may_name or name in NAMING)
        case list():
            for held in value:
                yield from _names(held, may_name=may_name)
        case _ if may_name:
            yield value


def _within(renaming: Renaming, value: Any) -> Any:
    """Return an object of Stripe's with the parts renamed that may name a user."""
    match value:
        case dict():
            return {
                name: renaming.value(held) if name in NAMING else _within(renaming, held)
                for name, held in value.items()
            }
        case list():
            return [_within(renaming, held) for held in value]
        case _:
            return value
