"""Every collection that Allotment writes, and how each one names users.

A collection that is in neither of the two tables fails a test: somebody has to say which it is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.mongo.ids import stored_id, user_ids
from actors.mongo.jobs.fences import is_fence, named_by_commands
from actors.mongo.jobs.stripe_names import find_stripe_events, renamed_record, renamed_stripe_event
from domain.documents.anonymization import Renaming
from domain.documents.journal import place_of
from domain.values import UserId

Document = dict[str, Any]
Find = Callable[[Any, UserId, UserId], Sequence[Mapping[str, Any]]]
"""Conditions that together find what names a user: of a database, the old id and the new one."""

NAMELESS: Mapping[str, str] = {
    "allotment_directory": "slots",
    "allotment_endpoints": "where events go, with what signs them, and how far each endpoint is",
    "allotment_format": "a number",
    "allotment_jobs": "runs of jobs",
    "allotment_prices": "the price list",
    "allotment_relay": "places in the order of all events",
    "allotment_secrets": "what signs stream tokens",
    "allotment_settings": "what administrators set at run time: origins",
    "allotment_shards": "epochs, sessions, clean marks",
    "allotment_stripe_state": "how far a comparison is, by Stripe's ids",
    "allotment_sync_state": "beats, and a place in the stream between them",
    "allotment_test_clock": "a span of time",
}
"""Collections that name no users, and what is in them."""

BY_FENCES: Mapping[str, str] = {
    "allotment_accounts": "the marks: `_id`",
    "allotment_anonymizations": "`user_id`, until it is done",
}
"""Collections that name users, and of which the fences and the ledger take care."""


@dataclass(frozen=True)
class NamedCollection:
    """How the documents of one collection that name a user are found, and rewritten."""

    find: Find
    renamed: Callable[[Renaming, Document], Document | None]
    """None: the document goes. Another `_id`: it is made anew."""


def _by_user(_: Any, old: UserId, __: UserId) -> Sequence[Mapping[str, Any]]:
    return [{"user_id": {"$in": user_ids(old)}}]


def _days(database: Any, old: UserId, new: UserId) -> Sequence[Mapping[str, Any]]:
    """Other programs' days may lack `user_id`, and have holds of ours all the same."""
    where = {"user_id": {"$in": [*user_ids(old), stored_id(new)]}}
    ids = [document["_id"] for document in database.subscriptions.find(where, ["_id"])]
    has_holds = {"holds.0": {"$exists": True}}
    return [*_by_user(database, old, new), {"subscription_id": {"$in": ids}} | has_holds]


def _sweeps(_: Any, old: UserId, __: UserId) -> Sequence[Mapping[str, Any]]:
    return [{"users": old}, {"differences": {"$regex": re.escape(old)}}]


def _entries(_: Any, old: UserId, __: UserId) -> Sequence[Mapping[str, Any]]:
    # What somebody has edited may have lost the second; the first has no index on every server.
    by_id = {"_id": {"$gte": f"{old} ", "$lt": f"{old}!"}}
    return [named_by_commands(old), by_id]


def _values(renaming: Renaming, document: Document) -> Document:
    renamed: Document = renaming.value(document)
    return renamed


def _with_id(renaming: Renaming, document: Document) -> Document:
    """Return a document whose `_id` may be a hold's."""
    name = document["_id"]
    named = renaming.text(name) if type(name) is str else name
    return _values(renaming, document) | {"_id": named}


def _entry(renaming: Renaming, document: Document) -> Document:
    place = place_of(document)
    if place is not None and place[0] == renaming.old:
        return document if is_fence(document) else renaming.entry(document)
    # Somebody has edited another user's entry, or put a document of their own here.
    return document | {"command_id": renaming.text(document["command_id"])}


def _sweep(renaming: Renaming, document: Document) -> Document:
    users = [renaming.new if u == renaming.old else u for u in document.get("users", [])]
    told = [renaming.text(text) for text in document.get("differences", [])]
    return document | {n: v for n, v in (("users", users), ("differences", told)) if v}


def _without(renaming: Renaming, key: Document) -> Document:
    """Return a key that is not for the user any more: for nobody, if it was for no other.

    What has become of the account is nobody's to find by a key that once was for the user.
    """
    limits = key["limits"]
    others = [user_id for user_id in limits["user_ids"] if user_id != renaming.old]
    return key | {"limits": limits | {"user_ids": others}}


NAMED: Mapping[str, NamedCollection] = {
    "allotment_journal": NamedCollection(_entries, _entry),
    "subscriptions": NamedCollection(_by_user, _values),
    "dailycredits": NamedCollection(_days, _values),
    "usages": NamedCollection(_by_user, _values),
    "packs": NamedCollection(_by_user, _values),
    "allotment_lapsed_holds": NamedCollection(_by_user, _with_id),
    "allotment_events": NamedCollection(
        _by_user, lambda renaming, document: renaming.event(document)
    ),
    # Events take their dead letters along.
    "allotment_dead_letters": NamedCollection(_by_user, lambda _, __: None),
    "allotment_stripe_records": NamedCollection(
        lambda _, old, __: [
            {"user_id": old},
            {"record.metadata_user": old},
            {"record.reference_user": old},
        ],
        renamed_record,
    ),
    "allotment_stripe_events": NamedCollection(find_stripe_events, renamed_stripe_event),
    "allotment_sweeps": NamedCollection(_sweeps, _sweep),
    "allotment_audit": NamedCollection(_by_user, _values),
    "allotment_api_keys": NamedCollection(lambda _, old, __: [{"limits.user_ids": old}], _without),
}
"""Collections that name users, in the order in which they are gone through."""
