"""The store of the shards on MongoDB: one journal, and the views that other programs read."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from bson import Int64, encode
from pymongo.client_session import ClientSession
from pymongo.errors import (
    BulkWriteError,
    PyMongoError,
)

from actors.mongo.accounts.leases import oldest_mark
from actors.mongo.accounts.loader import Loader
from actors.mongo.accounts.marks import MarkMovedError, move_marks, read_marks
from actors.mongo.accounts.seldom_views import write_rest
from actors.mongo.accounts.tails import Tails
from actors.mongo.causality import Causality
from actors.mongo.connection import unavailable_on_error
from actors.mongo.documents.events import event_documents
from actors.mongo.documents.stripe import view_writes
from actors.mongo.documents.subscriptions import day_raise, day_write, needs_care
from actors.mongo.documents.usages import usage_document
from actors.mongo.embedded_wire import Documents
from actors.mongo.failures import NO_WRITES, cause, is_duplicate, passes, wrote_nothing
from actors.mongo.ids import stored_id
from actors.mongo.instants import UNIX_START
from actors.mongo.transactions import CommitInDoubtError, Transactions, until_elected
from actors.protocol.store import (
    AppendInDoubtError,
    AppendRefusedError,
    Moment,
    StorageUnavailableError,
    StoreError,
    ViewsRefusedError,
    ViewsTakenError,
)
from domain.documents.journal import SpoiltEntry, entry_document
from domain.documents.recovery import Stored
from domain.documents.views import AccountViews
from domain.messages import Entry
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.values import UserId

MESSAGE_BYTES_MAX = 32_000_000
"""What the driver sends in one message at least: MongoDB takes 48 MB."""


class MongoStore:
    """One process's view of the database. Thread-safe, as pymongo's client is."""

    def __init__(self, database: Documents, is_owner: Callable[[], bool] = lambda: True) -> None:
        self._database = database
        self._is_owner = is_owner
        self.causality = Causality(database)
        self._tails = Tails(database)
        self._loader = Loader(database, self.causality, self._tails)
        self._transactions = Transactions(database)
        self._doubted_at = -math.inf

    def take_over(self, shard: str) -> None:
        """End the transactions that an earlier incarnation of a shard left open.

        From here on the sessions of this store are noted for the incarnation after it, and what it
        reads is not older than what that one has written.
        """
        with unavailable_on_error():
            if self._transactions.take_over(shard):
                self._doubted_at = time.monotonic()
        self.causality.begin(shard)
        self._tails.begin()

    def load(
        self, user_ids: Sequence[UserId], now: datetime, recalls: Recalls = NOTHING_BESIDE
    ) -> list[Stored]:
        """Return what is stored of every user, in the order of `user_ids`."""
        return self._loader.load(user_ids, now, recalls)

    def hear(self, moment: Moment) -> None:
        """Have later reads see all that a majority had then. Does not block."""
        self.causality.hear(moment)

    def find_entries(self, commands: Sequence[tuple[UserId, str]]) -> list[Entry | SpoiltEntry]:
        """Return the entries that these users' idempotency keys already have."""
        return self._loader.find_entries(commands)

    def doubt(self) -> None:
        """Have the next read wait for all that others may have written until now."""
        self.causality.doubt()

    def let_go(self, user_id: UserId) -> float:
        """Forget a user, and return for how many seconds no append was in doubt. Does not block.

        Of this process, or of the one before it: what that has sent may land still.
        """
        self._tails.let_go(user_id)
        return time.monotonic() - self._doubted_at

    # --- the journal --------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> None:
        """Make entries durable, in order: where one is refused, those before it stay.

        So no user has a gap, and a transaction is not needed: beside one that writes long documents
        it would wait for that one's end.
        """
        documents = [_journal_document(entry) for entry in entries]
        self._check_owner()
        try:
            session = until_elected(lambda: self._insert(documents), NO_WRITES)
        except PyMongoError as error:
            raise self._append_failure(error, documents) from error
        self.causality.note(session)
        self._tails.saw((entry.user_id, entry.seq) for entry in entries)

    def _insert(self, documents: Sequence[dict[str, Any]]) -> ClientSession:
        """Insert into the journal; return the session, ended."""
        with self._database.client.start_session() as session:
            self._transactions.note(session)
            self._database.allotment_journal.insert_many(documents, session=session)
        return session

    def _append_failure(
        self, error: PyMongoError, documents: Sequence[dict[str, Any]]
    ) -> StoreError:
        """Return what an error says of an append."""
        if is_duplicate(error):
            self.causality.doubt()  # What is there already may be unconfirmed.
            told = error.details if isinstance(error, BulkWriteError) else None
            return AppendRefusedError(
                "a number or a key is taken", (told or {}).get("nInserted", 0)
            )
        if wrote_nothing(error) and _are_one_message(documents):
            return StorageUnavailableError(cause(error))
        self._doubt()
        return AppendInDoubtError(type(error).__name__)

    def _doubt(self) -> None:
        self._doubted_at = time.monotonic()
        self.causality.doubt()

    def appended_since(self, since: datetime, until: datetime) -> set[UserId]:
        """Return the users with entries made from `since` (inclusive) to `until` (exclusive)."""
        with unavailable_on_error():
            return {user_id for user_id, _ in self._tails.entries_from(since, until)}

    # --- the views ----------------------------------------------------------------------

    def write_views(self, views: Sequence[AccountViews]) -> None:
        """Bring the views of many accounts forward in one transaction.

        The accounts' marks move first: a mark that is not where it should be refuses all.
        """
        self._check_owner()
        try:
            self._write_as_expected_or_carefully(views)
        except MarkMovedError as moved:
            raise self._views_taken(views, moved) from moved
        except CommitInDoubtError as doubt:  # The marks tell, when they are written again.
            raise StorageUnavailableError(str(doubt)) from doubt.error
        except PyMongoError as error:
            if is_duplicate(error):
                raise self._views_taken(views, error) from error
            if passes(error):
                raise StorageUnavailableError(cause(error)) from error
            raise ViewsRefusedError(type(error).__name__) from error
        self._tails.written({view.user_id: view.applied_seq for view in views})

    def _write_as_expected_or_carefully(self, views: Sequence[AccountViews]) -> None:
        """Take days of ours to be as we left them; where one is not, write with more care."""
        try:
            self._run(lambda session: self._write_views(views, session, careful=False))
        except (_DayMissingError, BulkWriteError) as error:
            if isinstance(error, BulkWriteError) and (is_duplicate(error) or passes(error)):
                raise
            self._run(lambda session: self._write_views(views, session, careful=True))

    def _run(self, write: Callable[[ClientSession], object]) -> None:
        self.causality.note(self._transactions.run(write))

    def _write_views(
        self, views: Sequence[AccountViews], session: ClientSession, *, careful: bool
    ) -> None:
        move_marks(self._database, views, session)
        changes = [write for view in views for write in view_writes(view.subscriptions)]
        if changes:  # In order: a new subscription comes before what raises it.
            self._database.subscriptions.bulk_write(changes, session=session)
        days = [
            day_write(day, view.user_id) if careful or needs_care(day) else day_raise(day)
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
        write_rest(self._database, views, session)
        events = [d for view in views for entry in view.events for d in event_documents(entry)]
        if events:
            self._database.allotment_events.insert_many(events, ordered=False, session=session)

    def _views_taken(self, views: Sequence[AccountViews], cause: Exception) -> StoreError:
        with unavailable_on_error(), self.causality.session() as session:
            marks = read_marks(self._database, [view.user_id for view in views], session)
        applied = {view.user_id: marks.get(view.user_id, 0) for view in views}
        if any(applied[view.user_id] != view.after_seq for view in views):
            return ViewsTakenError(applied)
        if isinstance(cause, MarkMovedError):
            return StorageUnavailableError("a mark has moved, and no majority has it yet")
        return ViewsRefusedError("a document that is to be made is there already")

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
        until = self.clean_until() or UNIX_START
        with unavailable_on_error():
            gone = {"_id": {"$nin": list(shards)}, "clean_until": {"$exists": True}}
            self._database.allotment_shards.delete_many(gone)
        for shard in shards:
            self.mark_clean(shard, until)

    def in_transaction(self, write: Callable[[ClientSession], object]) -> None:
        """Run one write in a transaction. Raises PyMongoError: it may have been done."""
        try:
            self._transactions.run(write)
        except CommitInDoubtError as error:
            raise error.error from None

    def _check_owner(self) -> None:
        """Refuse to write for a shard whose lease has lapsed: it may have a successor.

        What a shard writes that is stopped behind this line can still land. It is held to the
        journal's unique keys and to the marks of the views then, like every write of a rival.
        """
        if not self._is_owner():
            raise StorageUnavailableError("the lease has lapsed")


def _are_one_message(documents: Iterable[dict[str, Any]]) -> bool:
    """Say whether the driver sends them at once: of several messages the first may have been done."""
    return sum(len(encode(document)) for document in documents) < MESSAGE_BYTES_MAX


class _DayMissingError(Exception):
    """Another program has deleted a day of ours."""


def _journal_document(entry: Entry) -> dict[str, Any]:
    document = entry_document(entry)
    document["user_id"] = stored_id(entry.user_id)
    document["seq"] = Int64(entry.seq)
    return document
