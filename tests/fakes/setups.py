"""The stores that must keep the same promises, and what other programs can do to them."""

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import mongomock_ng
import mongomock_ng.collection
import pymongo.monitoring
from bson import ObjectId
from bson.codec_options import CodecOptions

from actors.mongo.accounts.overview import MongoOverview
from actors.mongo.accounts.reads import MongoReads
from actors.mongo.accounts.store import MongoStore
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import stored_id
from actors.mongo.indexes import make_indexes
from actors.protocol.directory import SLOTS
from actors.protocol.store import Overview, Reads, Store
from tests.fakes.memory_reads import MemoryOverview, MemoryReads
from tests.fakes.memory_store import MemoryStore

ID_FIELDS = ("_id", "user_id", "subscription_id")
ALL_SLOTS = range(SLOTS)


class Setup:
    """A store and its reads, with documents in plain Python: ids are text."""

    store: Store
    reads: Reads
    overview: Overview

    def insert(self, collection: str, **document: Any) -> None:
        """Insert a document as another program would."""
        raise NotImplementedError

    def documents(self, collection: str) -> list[dict[str, Any]]:
        """Return all documents of a collection, in order of their ids."""
        raise NotImplementedError

    def change(self, collection: str, where: dict[str, Any], **fields: Any) -> None:
        """Change fields of one document as another program would."""
        raise NotImplementedError

    def remove(self, collection: str, **where: Any) -> None:
        """Remove one document as another program would."""
        raise NotImplementedError

    def document(self, collection: str, **where: Any) -> dict[str, Any]:
        """Return the one document that matches."""
        (found,) = [d for d in self.documents(collection) if where.items() <= d.items()]
        return found


class MemorySetup(Setup):
    def __init__(self) -> None:
        self.store: MemoryStore = MemoryStore()
        self.reads = MemoryReads(self.store)
        self.overview = MemoryOverview(self.store)

    def insert(self, collection: str, **document: Any) -> None:
        self.store.insert(collection, document)

    def documents(self, collection: str) -> list[dict[str, Any]]:
        found = self.store.collections[collection].values()
        return sorted((dict(d) for d in found), key=lambda d: str(d["_id"]))

    def _matching(self, collection: str, where: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        documents = self.store.collections[collection]
        (found,) = [(k, d) for k, d in documents.items() if where.items() <= d.items()]
        return found

    def change(self, collection: str, where: dict[str, Any], **fields: Any) -> None:
        self._matching(collection, where)[1].update(fields)

    def remove(self, collection: str, **where: Any) -> None:
        del self.store.collections[collection][self._matching(collection, where)[0]]


class MongoSetup(Setup):
    def __init__(self, database: Documents) -> None:
        self.database = database
        self.store = MongoStore(database)
        self.reads = MongoReads(database)
        self.overview = MongoOverview(database, "UTC")

    def insert(self, collection: str, **document: Any) -> None:
        self.database[collection].insert_one(_stored(document))

    def documents(self, collection: str) -> list[dict[str, Any]]:
        found = [_plain(document) for document in self.database[collection].find()]
        return sorted(found, key=lambda d: str(d["_id"]))

    def change(self, collection: str, where: dict[str, Any], **fields: Any) -> None:
        changed = self.database[collection].update_one(_stored(where), {"$set": fields})
        assert changed.matched_count == 1

    def remove(self, collection: str, **where: Any) -> None:
        assert self.database[collection].delete_one(_stored(where)).deleted_count == 1


class Doors:
    """A database handle that calls a function before each use of one collection."""

    def __init__(self, database: Documents, collection: str, before: Callable[[], None]) -> None:
        self._database = database
        self._collection = collection
        self._before = before

    def __getitem__(self, name: str) -> Any:
        if name == self._collection:
            self._before()
        return self._database[name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


@dataclass
class Counter(pymongo.monitoring.CommandListener):
    """Counts the commands a client sends."""

    names: list[str] = field(default_factory=list)

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        pass


class Filters(pymongo.monitoring.CommandListener):
    """Keeps the filters with which documents of one collection were looked for."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self.found: list[Mapping[str, Any]] = []

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        if event.command.get("find") == self._collection and event.command["filter"]:
            self.found.append(event.command["filter"])

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        pass


def in_utc(client: Any, name: str) -> Documents:
    """Return a database of any client, with the options that `connect` gives to it."""
    options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)
    database: Documents = client.get_database(name, codec_options=options)
    return database


def one_at_a_time(owner: type, *names: str) -> None:
    """Let one thread at a time into methods of mongomock's.

    It changes a document in place while others copy it, which no server does.
    """
    for name in names:
        method = getattr(owner, name)

        @functools.wraps(method)
        def locked(*args: Any, method: Callable[..., Any] = method, **options: Any) -> Any:
            with MONGOMOCK_LOCK:
                return method(*args, **options)

        setattr(owner, name, locked)


MONGOMOCK_LOCK = threading.RLock()
one_at_a_time(mongomock_ng.collection.Cursor, "_compute_results")
one_at_a_time(
    mongomock_ng.collection.Collection,
    *("_insert", "_update", "_delete", "_find_and_modify", "aggregate"),
)


def mongomock_setup() -> MongoSetup:
    database = in_utc(mongomock_ng.MongoClient(), "allotment")
    make_indexes(database, print, embedded=False)
    return MongoSetup(database)


def _stored(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: stored_id(value) if name in ID_FIELDS and isinstance(value, str) else value
        for name, value in document.items()
    }


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(child) for name, child in value.items()}
        case list():
            return [_plain(child) for child in value]
        case ObjectId():
            return str(value)
        case _:
            return value
