"""Which format the stored documents have, and how those of an older version become ours.

One document says it for the whole database, not a field of each: documents change together, at a
start, while nothing else of ours runs. A database without it is new, or of format 1.

The number rises with whatever the version before would misread: a new kind of entry, a field that it
must not pass over. Fields that may be passed over need none.

Format 1: the collections of ours had no prefix. Format 2: they have. Format 3: a subscription's zone
may be changed by an entry, and its document tells to which zones its earlier dates belong; charges
may be of packs, and be reversed; too many grants are a reason to refuse.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pymongo
from bson import Int64
from pymongo.errors import OperationFailure

from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.steps import STEP_SECONDS_MAX, Tell, telling
from actors.protocol.store import UnsuitableDatabaseError

FORMAT = 3
PREFIX = "allotment_"
FORMAT_ID = "format"
NAMESPACE_NOT_FOUND = 26

Filter = Mapping[str, Any]


def _other_ids(ours: str) -> Filter:
    return {"_id": {"$not": {"$regex": f"^({ours})"}}}


NOT_OURS: Mapping[str, Filter] = {
    "accounts": {"applied_seq": None},
    "api_keys": {"$or": [{"hash": None}, {"scope": None}]},
    "dead_letters": {"event_id": None},
    "events": {"order": None},
    "jobs": {"done_until": None},
    "journal": {"command_id": None},
    "prices": _other_ids("in_force$"),
    "relay": _other_ids("head$|consumer "),
    "shards": _other_ids("shard-|relay$"),
    "stripe_events": {"livemode": None},
    "stripe_records": {"record": None},
    "stripe_state": _other_ids("reconcile$"),
    "sweeps": {"drift": None},
    "sync_state": _other_ids("position$"),
    "test_clock": _other_ids("service$"),
    "directory": _other_ids("slots$|plan$"),
}
"""The collections of format 1, and what in them another program has written. `directory` is last:
as long as it is there, the others may have to be renamed, too."""


def stored_format(database: Documents) -> int | None:
    """Return the format of a database; None: it is new, or has the first one."""
    with unavailable_on_error():
        document = database.allotment_format.find_one({"_id": FORMAT_ID})
    return None if document is None else int(document["version"])


def check_not_newer(database: Documents) -> int | None:
    """Return the format; refuse one that only a newer version knows. UnsuitableDatabaseError."""
    version = stored_format(database)
    if version is not None and version > FORMAT:
        raise UnsuitableDatabaseError(
            f"This database was written by a newer version of Allotment (format {version}, this one"
            f" knows {FORMAT}): start that version, or restore a backup of before."
        )
    return version


def check_format(database: Documents) -> None:
    """Refuse a database whose format is not ours: for whoever did not prepare it itself."""
    version = check_not_newer(database)
    if version != FORMAT:
        raise UnsuitableDatabaseError(
            "This database was written by an older version of Allotment: stop the service, and start"
            " it with this one."
        )


class MongoFormats:
    """The format of one database."""

    def __init__(self, database: Documents) -> None:
        self._database = database

    def check(self) -> None:
        """Return if the format is ours."""
        check_format(self._database)

    def check_not_newer(self) -> None:
        """Return unless the format is a newer version's."""
        check_not_newer(self._database)


def bring_forward(database: Documents, tell: Tell) -> None:
    """Give the database our format. To be called while nothing of ours runs; safe to repeat.

    A crash in between leaves some collections renamed and some not; the next start does the rest.
    Raises StorageUnavailableError, UnsuitableDatabaseError.
    """
    version = stored_format(database)
    if version is None:
        with unavailable_on_error():
            for name in list(_older(database)):
                with telling(f"{name} becomes {PREFIX}{name}", tell):
                    _rename(database, name)
            database.allotment_format.update_one(
                {"_id": FORMAT_ID}, {"$setOnInsert": {"version": Int64(FORMAT)}}, upsert=True
            )
    elif version < FORMAT:  # Format 3 changes no document of before.
        with unavailable_on_error():
            database.allotment_format.update_one(
                {"_id": FORMAT_ID, "version": {"$lt": FORMAT}},
                {"$set": {"version": Int64(FORMAT)}},
            )
    check_format(database)


def _older(database: Documents) -> Iterator[str]:
    """Yield the collections of format 1, in the order in which to rename them."""
    there = set(database.list_collection_names())
    if "directory" not in there or not database.directory.find_one({"_id": "slots"}):
        return
    for name, not_ours in NOT_OURS.items():
        if name in there and _is_ours(database, name, not_ours):
            if PREFIX + name in there and database[PREFIX + name].find_one() is not None:
                raise UnsuitableDatabaseError(
                    f"There are both {name}, of an older version, and {PREFIX}{name}: two versions"
                    " have run at once, and one of the two collections has to go."
                )
            yield name


def _is_ours(database: Documents, name: str, not_ours: Filter) -> bool:
    """Say whether a collection is ours to rename; an empty one may be anybody's, and stays."""
    if database[name].find_one({"$nor": [not_ours]}, ["_id"]) is None:
        return False
    foreign = database[name].find_one(not_ours, ["_id"])
    if foreign is not None:
        raise UnsuitableDatabaseError(
            f"{name} holds documents of an older version of Allotment and of another program"
            f" (_id {foreign['_id']!r}): move the other program's to another collection."
        )
    return True


def _rename(database: Documents, name: str) -> None:
    """Rename a collection of ours. Its indexes stay with it, under the names they have."""
    with pymongo.timeout(STEP_SECONDS_MAX):
        if PREFIX + name in database.list_collection_names():
            database[PREFIX + name].drop()  # It is empty.
        try:
            database[name].rename(PREFIX + name)
        except OperationFailure as error:  # Another start was faster.
            if error.code != NAMESPACE_NOT_FOUND:
                raise
