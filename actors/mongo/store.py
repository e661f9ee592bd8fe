"""The store of the shards on MongoDB: one journal, and the views that other programs read."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from bson import Int64
from pymongo.client_session import ClientSession
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern

from actors.mongo.connection import Documents, unavailable_on_error
from actors.mongo.documents import (
    addition_write,
    day_write,
    mark_write,
    stored_id,
    usage_document,
)
from actors.store import (
    AppendInDoubtError,
    AppendRefusedError,
    StorageUnavailableError,
    StoreError,
    ViewsTakenError,
)
from domain.codec import command_id, entry_document, entry_id, read_entry
from domain.foreign import Document
from domain.messages import Entry
from domain.recovery import Stored
from domain.values import UserId
from domain.views import AccountViews

IDS_PER_QUERY_MAX = 1000  # Longer lists of ids are asked for in parts.
TORN_LOADS_MAX = 3  # How often an account is read again while another writer moves its views.
LAG_STEPS = (1, 16, 256, 4096)  # How many entries after the views each further round asks for.
CONFLICTS_MAX = 5  # How often a transaction that met another one is tried.

DUPLICATE_KEY = 11000

SUBSCRIPTION_FIELDS = (
    "user_id",
    "start_date",
    "end_date",
    "total_credits",
    "system_portion",
    "spendable_credits",
    "status",
    "timezone",
    "grants",
    "applied_seq",
)


class MongoStore:
    """One process's view of the database. Thread-safe, as pymongo's client is."""

    def __init__(self, database: Documents) -> None:
        self._database = database

    # --- loading ------------------------------------------------------------------------

    def load(self, user_ids: Sequence[UserId], now: datetime) -> list[Stored]:
        """Return what is stored of every user, in the order of `user_ids`.

        Marks are read first. A view that is ahead of its mark was moved while we read, so its
        account is read again; one that is still ahead in a snapshot was made by another program.
        """
        found: dict[UserId, Stored] = {}
        missing = list(user_ids)
        with unavailable_on_error():
            for _ in range(TORN_LOADS_MAX):
                loaded = self._load_once(missing, now)
                found.update((s.user_id, s) for s in loaded if not _is_torn(s))
                missing = [user_id for user_id in missing if user_id not in found]
                if not missing:
                    break
            else:
                found.update((s.user_id, s) for s in self._load_snapshot(missing, now))
        return [found[user_id] for user_id in user_ids]

    def _load_snapshot(self, user_ids: Sequence[UserId], now: datetime) -> list[Stored]:
        with (
            self._database.client.start_session() as session,
            session.start_transaction(read_concern=ReadConcern("snapshot")),
        ):
            return self._load_once(user_ids, now, session)

    def _load_once(
        self, user_ids: Sequence[UserId], now: datetime, session: ClientSession | None = None
    ) -> list[Stored]:
        marks = {
            str(mark["_id"]): int(mark["applied_seq"])
            for mark in self._find(
                "accounts", "_id", [stored_id(u) for u in user_ids], None, session
            )
        }
        subscriptions: dict[str, list[Document]] = {}
        unfinished = []
        for document in self._find(
            "subscriptions",
            "user_id",
            [stored_id(u) for u in user_ids],
            SUBSCRIPTION_FIELDS,
            session,
        ):
            subscriptions.setdefault(str(document["user_id"]), []).append(document)
            end = document.get("end_date")
            if isinstance(end, datetime) and end > now:  # Days of past ones decide nothing.
                unfinished.append(document["_id"])
        days: dict[str, list[Document]] = {}
        for day in self._find(
            "dailycredits",
            "subscription_id",
            unfinished,
            ("subscription_id", "date", "credits_used", "applied_seq"),
            session,
        ):
            days.setdefault(str(day["subscription_id"]), []).append(day)
        entries = self._entries_after({u: marks.get(u, 0) for u in user_ids}, session)
        return [
            Stored(
                user_id,
                marks.get(user_id, 0),
                subscriptions.get(user_id, []),
                [
                    day
                    for subscription in subscriptions.get(user_id, ())
                    for day in days.get(str(subscription["_id"]), ())
                ],
                entries.get(user_id, []),
            )
            for user_id in user_ids
        ]

    def _entries_after(
        self, marks: dict[UserId, int], session: ClientSession | None
    ) -> dict[UserId, list[Entry]]:
        """Return the entries after each user's mark. Numbers have no gaps, so ids are known."""
        found: dict[UserId, list[Entry]] = {}
        behind = dict(marks)
        step = 0
        while behind:
            count = LAG_STEPS[min(step, len(LAG_STEPS) - 1)]
            ids = [entry_id(u, seq + 1 + i) for u, seq in behind.items() for i in range(count)]
            entries = [read_entry(d) for d in self._find("journal", "_id", ids, None, session)]
            for entry in sorted(entries, key=lambda e: e.seq):
                found.setdefault(entry.user_id, []).append(entry)
            behind = {
                u: seq + count
                for u, seq in behind.items()
                if u in found and found[u][-1].seq == seq + count
            }
            step += 1
        return found

    def _find(
        self,
        collection: str,
        field: str,
        values: list[Any],
        fields: Sequence[str] | None = None,
        session: ClientSession | None = None,
    ) -> Iterator[dict[str, Any]]:
        for start in range(0, len(values), IDS_PER_QUERY_MAX):
            part = values[start : start + IDS_PER_QUERY_MAX]
            where = {field: {"$in": part}}
            yield from self._database[collection].find(where, fields, session=session)

    # --- the journal --------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> None:
        """Make all entries durable, or none."""
        documents = [_journal_document(entry) for entry in entries]
        try:
            if len(documents) == 1:  # One document is all or nothing by itself.
                self._database.journal.insert_one(documents[0])
            else:
                self._in_transaction(
                    lambda session: self._database.journal.insert_many(documents, session=session)
                )
        except ServerSelectionTimeoutError as error:
            raise StorageUnavailableError("no server was found") from error
        except PyMongoError as error:
            if _is_duplicate(error):
                raise AppendRefusedError("a number or a key is taken") from error
            raise AppendInDoubtError(type(error).__name__) from error

    def find_entries(self, commands: Sequence[tuple[UserId, str]]) -> list[Entry]:
        """Return the entries that these users' idempotency keys already have."""
        with unavailable_on_error():
            ids = [command_id(user_id, key) for user_id, key in commands]
            return [read_entry(document) for document in self._find("journal", "command_id", ids)]

    def appended_since(self, since: datetime, until: datetime) -> set[UserId]:
        """Return the users with entries made from `since` (inclusive) to `until` (exclusive)."""
        with unavailable_on_error():
            entries = self._database.journal.find(
                {"at": {"$gte": since, "$lt": until}}, {"user_id": 1}
            )
            return {UserId(str(entry["user_id"])) for entry in entries}

    # --- the views ----------------------------------------------------------------------

    def write_views(self, views: Sequence[AccountViews]) -> None:
        """Bring the views of many accounts forward in one transaction.

        The accounts' marks move first: a mark that is not where it should be refuses all.
        """
        try:
            self._in_transaction(lambda session: self._write_views(views, session))
        except _MarkMovedError as moved:
            raise self._views_taken(views) from moved
        except PyMongoError as error:
            if _is_duplicate(error):
                raise self._views_taken(views) from error
            raise StorageUnavailableError(type(error).__name__) from error

    def _write_views(self, views: Sequence[AccountViews], session: ClientSession) -> None:
        marks = [mark_write(view) for view in views]
        moved = self._database.accounts.bulk_write(marks, ordered=False, session=session)
        if moved.matched_count + moved.inserted_count != len(marks):
            raise _MarkMovedError
        additions = [addition_write(entry) for view in views for entry in view.additions]
        if additions:  # In order: a new subscription comes before what raises it.
            self._database.subscriptions.bulk_write(additions, session=session)
        days = [day_write(day, view.user_id) for view in views for day in view.days.values()]
        if days:
            self._database.dailycredits.bulk_write(days, ordered=False, session=session)
        usages = [usage_document(entry) for view in views for entry in view.usages]
        if usages:
            self._database.usages.insert_many(usages, ordered=False, session=session)

    def _views_taken(self, views: Sequence[AccountViews]) -> StoreError:
        with unavailable_on_error():
            ids = [stored_id(view.user_id) for view in views]
            marks = {
                UserId(str(mark["_id"])): int(mark["applied_seq"])
                for mark in self._find("accounts", "_id", ids)
            }
        return ViewsTakenError({view.user_id: marks.get(view.user_id, 0) for view in views})

    def clean_until(self) -> datetime | None:
        """Return an instant before which no entry of any shard is missing in the views."""
        with unavailable_on_error():
            marks = [mark["clean_until"] for mark in self._database.shards.find()]
            return min(marks, default=None)

    def mark_clean(self, shard: str, until: datetime) -> None:
        """Note that the views contain every entry of this shard made before `until`."""
        with unavailable_on_error():
            self._database.shards.update_one(
                {"_id": shard}, {"$set": {"clean_until": until}}, upsert=True
            )

    def _in_transaction(self, write: Callable[[ClientSession], object]) -> None:
        """Run one write in a transaction; one that met another transaction is run again."""
        for attempt in range(1, CONFLICTS_MAX + 1):
            try:
                with self._database.client.start_session() as session:
                    with session.start_transaction():
                        write(session)
                    return
            except PyMongoError as error:
                conflict = error.has_error_label("TransientTransactionError")
                if not conflict or _is_network_error(error) or attempt == CONFLICTS_MAX:
                    raise


class _MarkMovedError(Exception):
    """An account's views are not where the writer thought."""


def _is_torn(stored: Stored) -> bool:
    marks = [view.get("applied_seq") for view in (*stored.subscriptions, *stored.days)]
    return any(isinstance(mark, int) and mark > stored.applied_seq for mark in marks)


def _journal_document(entry: Entry) -> dict[str, Any]:
    document = entry_document(entry)
    document["user_id"] = stored_id(entry.user_id)
    document["seq"] = Int64(entry.seq)
    return document


def _is_duplicate(error: PyMongoError) -> bool:
    if isinstance(error, BulkWriteError):
        errors = (error.details or {}).get("writeErrors", [])
        return any(item.get("code") == DUPLICATE_KEY for item in errors)
    return getattr(error, "code", None) == DUPLICATE_KEY


def _is_network_error(error: PyMongoError) -> bool:
    return isinstance(error, ConnectionFailure)
