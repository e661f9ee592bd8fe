"""How the collections for Stripe name users, and how they are to name them from now on.

A Stripe subscription stays with the account that it was with: what Stripe tells later of a
renewal, a refund or an end goes to the anonymous user, and makes no documents for the old id.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bson import Int64

from actors.stripe.records import EventState
from domain.documents.anonymization import Renaming
from domain.values import UserId

NAMING = frozenset({"metadata", "client_reference_id", "description"})
"""Parts of Stripe's objects in which whoever made them may name a user."""


def find_stripe_events(database: Any, old: UserId, new: UserId) -> Sequence[Mapping[str, Any]]:
    """Return what finds the events of a user's subscriptions, and those that name the user."""
    records = database.allotment_stripe_records
    subjects = [d["_id"] for d in records.find({"user_id": {"$in": [old, new]}}, ["_id"])]
    spelled = {json.dumps(old), json.dumps(old, ensure_ascii=False)}
    return [
        {"subject": {"$in": subjects}, "body": {"$ne": ""}},
        *({"body": {"$regex": re.escape(text)}} for text in sorted(spelled)),
    ]


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
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    plain = Renaming(renaming.old, renaming.new, renaming.old, renaming.new)
    return json.dumps(_within(plain, said), separators=(",", ":"), ensure_ascii=False)


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
