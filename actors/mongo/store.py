"""The store of the shards on MongoDB: one journal, and the views that other programs read."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import Int64
from pymongo.client_session import ClientSession
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from actors.mongo.connection import Documents, unavailable_on_error
from actors.mongo.documents import (
    day_raise,
    day_write,
    stored_id,
)
from actors.mongo.event_documents import event_documents
from actors.mongo.leases import oldest_mark
from actors.mongo.loading import Loader
from actors.mongo.marks import MarkMovedError, move_marks, read_marks
from actors.mongo.stripe_documents import view_write
from actors.mongo.usage_documents import usage_document
from actors.store import (
    AppendInDoubtError,
    AppendRefusedError,
    StorageUnavailableError,
    StoreError,
    ViewsRefusedError,
    ViewsTakenError,
)
from domain.codec import entry_document
from domain.messages import Entry
from domain.recovery import Stored
from domain.values import UserId
from domain.views import AccountViews

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
CONFLICTS_MAX = 5  # How often a transaction that met another one is tried,
CONFLICT_PAUSE_SECONDS = 0.005  # after a pause that grows by this.
SESSIONS_MAX = 100  # Noted of one shard and its earlier incarnations, about three of each.

DUPLICATE_KEY = 11000


class MongoStore:
    """One process's view of the database. Thread-safe, as pymongo's client is."""

    def __init__(self, database: Documents, is_owner: Callable[[], bool] = lambda: True) -> None:
        self._database = database
        self._is_owner = is_owner
        self._loader = Loader(database)
        self._owner: str | None = None
        self._noted: set[bytes] = set()
        self._orphaned: list[bytes] = []

    def take_over(self, shard: str) -> None:
        """End the transactions that an earlier incarnation of a shard left open.

        A killed process leaves them to the server, which lets others wait for them for up to a
        minute. From here on the sessions of this store are noted for the incarnation after it.
        """
        with unavailable_on_error():
            mark = self._database.allotment_shards.find_one({"_id": shard}) or {}
            sessions = [{"id": session} for session in mark.get("sessions", [])]
            if sessions:
                self._database.client.admin.command("killSessions", sessions)
        self._owner = shard

    def load(self, user_ids: Sequence[UserId], now: datetime) -> list[Stored]:
        """Return what is stored of every user, in the order of `user_ids`."""
        return self._loader.load(user_ids, now)

    def find_entries(self, commands: Sequence[tuple[UserId, str]]) -> list[Entry]:
        """Return the entries that these users' idempotency keys already have."""
        return self._loader.find_entries(commands)

    # --- the journal --------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> None:
        """Make all entries durable, or none."""
        documents = [_journal_document(entry) for entry in entries]
        self._check_owner()
        try:
            if len(documents) == 1:  # One document is all or nothing by itself.
                self._database.allotment_journal.insert_one(documents[0])
            else:
                self.in_transaction(
                    lambda session: self._database.allotment_journal.insert_many(
                        documents, session=session
                    )
                )
        except ServerSelectionTimeoutError as error:
            raise StorageUnavailableError("no server was found") from error
        except PyMongoError as error:
            if _is_duplicate(error):
                raise AppendRefusedError("a number or a key is taken") from error
            raise AppendInDoubtError(type(error).__name__) from error

    def appended_since(self, since: datetime, until: datetime) -> set[UserId]:
        """Return the users with entries made from `since` (inclusive) to `until` (exclusive)."""
        with unavailable_on_error():
            entries = self._database.allotment_journal.find(
                {"at": {"$gte": since, "$lt": until}}, {"user_id": 1}
            )
            return {UserId(str(entry["user_id"])) for entry in entries}

    # --- the views ----------------------------------------------------------------------

    def write_views(self, views: Sequence[AccountViews]) -> None:
        """Bring the views of many accounts forward in one transaction.

        The accounts' marks move first: a mark that is not where it should be refuses all.
        """
        self._check_owner()
        try:
            self._write_as_expected_or_carefully(views)
        except MarkMovedError as moved:
            raise self._views_taken(views) from moved
        except PyMongoError as error:
            if _is_duplicate(error):
                raise self._views_taken(views) from error
            if _is_transient(error):
                raise StorageUnavailableError(type(error).__name__) from error
            raise ViewsRefusedError(type(error).__name__) from error

    def _write_as_expected_or_carefully(self, views: Sequence[AccountViews]) -> None:
        """Take days of ours to be as we left them; where one is not, write with more care."""
        try:
            self.in_transaction(lambda session: self._write_views(views, session, careful=False))
        except (_DayMissingError, BulkWriteError) as error:
            if _is_duplicate(error) or _is_transient(error):
                raise
            self.in_transaction(lambda session: self._write_views(views, session, careful=True))

    def _write_views(
        self, views: Sequence[AccountViews], session: ClientSession, *, careful: bool
    ) -> None:
        move_marks(self._database, views, session)
        changes = [view_write(entry) for view in views for entry in view.subscriptions]
        if changes:  # In order: a new subscription comes before what raises it.
            self._database.subscriptions.bulk_write(changes, session=session)
        days = [
            day_write(day, view.user_id)
            if day.is_new or day.placed or day.freed or careful
            else day_raise(day)
            for view in views
            for day in view.days.values()
        ]
        if days:
            written = self._database.dailycredits.bulk_write(days, ordered=False, session=session)
            if written.matched_count + written.upserted_count != len(days):
                raise _DayMissingError
        usages = [usage_document(entry) for view in views for entry in view.usages]
        if usages:
            self._database.usages.insert_many(usages, ordered=False, session=session)
        events = [d for view in views for entry in view.events for d in event_documents(entry)]
        if events:
            self._database.allotment_events.insert_many(events, ordered=False, session=session)

    def _views_taken(self, views: Sequence[AccountViews]) -> StoreError:
        with unavailable_on_error():
            marks = read_marks(self._database, [view.user_id for view in views])
        applied = {view.user_id: marks.get(view.user_id, 0) for view in views}
        if all(applied[view.user_id] == view.after_seq for view in views):
            return ViewsRefusedError("a document that is to be made is there already")
        return ViewsTakenError(applied)

    def clean_until(self) -> datetime | None:
        """Return an instant before which no entry of any shard is missing in the views."""
        with unavailable_on_error():
            return oldest_mark(self._database.allotment_shards)

    def mark_clean(self, shard: str, until: datetime) -> None:
        """Note that the views contain every entry of this shard made before `until`."""
        self._check_owner()  # One with a successor does not know what that one has entered.
        with unavailable_on_error():
            self._database.allotment_shards.update_one(
                {"_id": shard}, {"$set": {"clean_until": until}}, upsert=True
            )

    def keep_marks(self, shards: Sequence[str]) -> None:
        """Begin with one clean mark a shard: of those that are gone, the others take over.

        To be called while no shard runs.
        """
        until = self.clean_until() or BEGINNING
        with unavailable_on_error():
            self._database.allotment_shards.delete_many({"_id": {"$nin": list(shards)}})
        for shard in shards:
            self.mark_clean(shard, until)

    def in_transaction(self, write: Callable[[ClientSession], object]) -> None:
        """Run one write in a transaction; one that met another transaction is run again."""
        for attempt in range(1, CONFLICTS_MAX + 1):
            self._end_orphans()
            session_id = None
            try:
                with self._database.client.start_session() as session:
                    self._note(session)
                    session_id = session.session_id["id"]
                    with session.start_transaction():
                        write(session)
                    return
            except PyMongoError as error:
                conflict = error.has_error_label("TransientTransactionError")
                if _is_network_error(error) and session_id is not None:
                    self._orphaned.append(session_id)
                if not conflict or _is_network_error(error) or attempt == CONFLICTS_MAX:
                    raise
                time.sleep(CONFLICT_PAUSE_SECONDS * attempt)

    def _check_owner(self) -> None:
        """Refuse to write for a shard whose lease has lapsed: it may have a successor.

        What a shard writes that is stopped behind this line can still land. It is held to the
        journal's unique keys and to the marks of the views then, like every write of a rival.
        """
        if not self._is_owner():
            raise StorageUnavailableError("the lease has lapsed")

    def _end_orphans(self) -> None:
        """End the transactions of which the server may not have heard the end.

        A server that was only slow goes on with them, and everything that meets them is refused
        until it gives them up, a minute later.
        """
        orphaned = list(self._orphaned)
        if orphaned:
            sessions = [{"id": session_id} for session_id in orphaned]
            self._database.client.admin.command("killSessions", sessions)
            del self._orphaned[: len(orphaned)]

    def _note(self, session: ClientSession) -> None:
        """Keep a session's id where the next incarnation of this shard finds it.

        Those of earlier incarnations stay beside it: one of them may have been only slow, and go
        on with the sessions it has noted.
        """
        if self._owner is None or session.session_id["id"] in self._noted:
            return
        session_id = session.session_id["id"]
        self._database.allotment_shards.update_one(
            {"_id": self._owner},
            {"$push": {"sessions": {"$each": [session_id], "$slice": -SESSIONS_MAX}}},
            upsert=True,
        )
        self._noted.add(session_id)


class _DayMissingError(Exception):
    """Another program has deleted a day of ours."""


def _journal_document(entry: Entry) -> dict[str, Any]:
    document = entry_document(entry)
    document["user_id"] = stored_id(entry.user_id)
    document["seq"] = Int64(entry.seq)
    return document


def _is_transient(error: Exception) -> bool:
    return isinstance(error, PyMongoError) and (
        _is_network_error(error) or error.has_error_label("TransientTransactionError")
    )


def _is_duplicate(error: Exception) -> bool:
    if isinstance(error, BulkWriteError):
        errors = (error.details or {}).get("writeErrors", [])
        return any(item.get("code") == DUPLICATE_KEY for item in errors)
    return getattr(error, "code", None) == DUPLICATE_KEY


def _is_network_error(error: PyMongoError) -> bool:
    return isinstance(error, ConnectionFailure)
