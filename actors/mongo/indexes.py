"""The indexes: one `createIndexes` a collection, under names of our own.

Where another program has an index of the same keys and rules, under whatever name, ours is not
made. What is made on collections that were there before is told.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import pymongo
from pymongo import IndexModel
from pymongo.errors import CollectionInvalid, OperationFailure

from actors.mongo.embedded_wire import Documents
from actors.mongo.steps import STEP_SECONDS_MAX, Tell, telling
from actors.protocol.store import UnsuitableDatabaseError

PREFIX = "allotment_"  # What the names of our indexes begin with, on every collection.
INDEX_OPTIONS_CONFLICT = 85  # The index is there, under another name.
NAMESPACE_EXISTS = 48
RULES = ("unique", "sparse", "partialFilterExpression", "collation", "hidden")
"""What makes an index another one, beside its keys."""


def _index(*keys: str, **rules: bool | int | Mapping[str, str]) -> IndexModel:
    name = PREFIX + "_".join(key.replace(".", "_").lstrip("_") for key in keys)
    return IndexModel([(key, 1) for key in keys], name=name, **rules)


INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "allotment_accounts": (_index("unreadable", sparse=True),),
    "allotment_anonymizations": (_index("started_at"), _index("at", sparse=True)),
    "allotment_api_keys": (_index("hash", unique=True),),
    "allotment_audit": (_index("at"), _index("by", "_id"), _index("user_id", sparse=True)),
    "allotment_dead_letters": (_index("state", "at"), _index("event_id", "at")),
    "allotment_endpoints": (_index("once", unique=True),),
    "allotment_events": (
        _index("order", "user_id", "seq", "place"),
        _index("user_id", "order"),
    ),
    "allotment_journal": (
        _index("command_id", unique=True),
        _index("at"),
        _index("kind", "at", "_id", partialFilterExpression={"kind": "command_refused"}),
    ),
    "allotment_lapsed_holds": (_index("until", expireAfterSeconds=0), _index("user_id")),
    "allotment_relay": (),
    "allotment_stripe_events": (
        _index("state", "lane", "next_attempt_at"),
        _index("subject", "state"),
        _index("customer_id", "parked"),
    ),
    "allotment_stripe_records": (_index("customer_id", "user_id"), _index("user_id")),
    "allotment_sweeps": (_index("started_at"), _index("job", "started_at")),
    "dailycredits": (
        _index("subscription_id", "date", unique=True),
        _index("holds_until", sparse=True),
    ),
    "packs": (
        _index("user_id"),
        _index("expired_at", "expires_at"),
        _index("expires_at", sparse=True),
        _index("holds_until", sparse=True),
    ),
    "subscriptions": (
        _index("user_id"),
        _index("status", "_id"),
        _index("status", "end_date"),
        _index("stripe.customer_id", sparse=True),
    ),
    "usages": (_index("user_id", "timestamp", "_id"),),
}
"""Indexes by collection. Those without any are written in transactions, and made before."""

RETIRED: Mapping[str, Sequence[IndexModel]] = {"usages": (_index("user_id", "timestamp"),)}
"""Indexes of ours that others have taken the place of; a version that wants one makes it again."""

EMBEDDED_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "allotment_audit": (_index("_id", "at"),),
    "allotment_jobs": (_index("_id", "revision"),),
    "allotment_stripe_records": (_index("_id", "revision"),),
    "packs": (_index("_id", "user_id"),),
    "subscriptions": (_index("_id", "status"),),
}
"""The embedded server uses an index only where the index covers the whole filter."""


def wanted_indexes(*, embedded: bool) -> Mapping[str, Sequence[IndexModel]]:
    """Return the indexes that a database needs, by collection."""
    return {
        name: [*INDEXES.get(name, ()), *(EMBEDDED_INDEXES.get(name, ()) if embedded else ())]
        for name in sorted(INDEXES.keys() | EMBEDDED_INDEXES.keys())
    }


def missing_indexes(
    wanted: Sequence[IndexModel], there: Sequence[Mapping[str, Any]]
) -> list[IndexModel]:
    """Return those that are not there, under whatever name."""
    known = {rules_of(index) for index in there}
    return [index for index in wanted if rules_of(index.document) not in known]


def make_index(database: Documents, name: str, index: IndexModel) -> None:
    """Make one index. Raises PyMongoError; UnsuitableDatabaseError: what is stored forbids it."""
    _create(database, name, [index])


def make_indexes(database: Documents, tell: Tell, *, embedded: bool) -> None:
    """Make the collections and indexes that are missing. Raises PyMongoError.

    `tell` is given what is made on collections that were there, and for how long it takes.
    UnsuitableDatabaseError: what is stored there does not let an index be made.
    """
    there = set(database.list_collection_names())
    for name, wanted in wanted_indexes(embedded=embedded).items():
        if name in there:
            _add(database, name, wanted, tell)
            _retire(database, name)
        elif wanted:
            database[name].create_indexes(wanted)
        elif name in INDEXES:
            _make_collection(database, name)


def _make_collection(database: Documents, name: str) -> None:
    try:
        database.create_collection(name)
    except CollectionInvalid:  # Another start was faster.
        return
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:
            raise


def _add(database: Documents, name: str, wanted: Sequence[IndexModel], tell: Tell) -> None:
    """Make those of the indexes that a collection does not have yet.

    One under our name may be a build that goes on since an earlier start: the same command waits
    for it, and does nothing where it is done.
    """
    found = list(database[name].list_indexes())
    ours = {index.document["name"]: rules_of(index.document) for index in wanted}
    others = {rules_of(index): index for index in found if index["name"] not in ours}
    for rules, other in others.items():
        if other.get("unique") and rules not in ours.values():
            tell(f"{name} has the index {other['name']}, which may refuse what Allotment writes")
    missing = [index for index in wanted if rules_of(index.document) not in others]
    if not missing:
        return
    is_new = not {index.document["name"] for index in missing} <= {i["name"] for i in found}
    with telling(f"indexes on {name}: {_names(missing)}", tell, at_once=is_new):
        if not _create(database, name, missing):  # One that is there refuses all of a command.
            for index in missing:
                _create(database, name, [index])


def _retire(database: Documents, name: str) -> None:
    """Drop indexes that are of no use any more: each costs every write."""
    retired = [(i.document["name"], rules_of(i.document)) for i in RETIRED.get(name, ())]
    for index in database[name].list_indexes():
        if (index["name"], rules_of(index)) in retired:
            with contextlib.suppress(OperationFailure):  # Another start was faster.
                database[name].drop_index(index["name"])


def _create(database: Documents, name: str, indexes: Sequence[IndexModel]) -> bool:
    """Make indexes with one command. False: one of them is there, under another name."""
    try:
        with pymongo.timeout(STEP_SECONDS_MAX):
            database[name].create_indexes(list(indexes))
    except OperationFailure as error:
        if error.code == INDEX_OPTIONS_CONFLICT:
            return False
        reason = (error.details or {}).get("errmsg") or error
        raise UnsuitableDatabaseError(
            f"{name} cannot have the indexes {_names(indexes)}: {reason}."
        ) from error
    return True


def _names(indexes: Sequence[IndexModel]) -> str:
    return ", ".join(str(index.document["name"]) for index in indexes)


def rules_of(index: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what makes an index the one it is, whatever it is called."""
    keys = [
        (key, int(order) if _is_number(order) else order) for key, order in index["key"].items()
    ]
    return (repr(keys), *(repr(_plain(index.get(rule)) or None) for rule in RULES))


def _plain(rule: Any) -> Any:
    """Return a rule as a plain value, whichever kind of mapping says it."""
    return {name: _plain(r) for name, r in rule.items()} if isinstance(rule, Mapping) else rule


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
