"""The janitor's work on documents: ends that have passed, rules that must hold, old entries."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from actors.mongo.accounts.marks import read_marks
from actors.mongo.audit import MongoAudit
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.events import MongoEvents
from actors.mongo.jobs.ended import MongoEnded
from actors.mongo.jobs.ended_packs import MongoEndedPacks
from actors.mongo.jobs.index_care import MongoIndexCare
from actors.mongo.jobs.invariants import MongoInvariants
from actors.mongo.jobs.overdue import MongoOverdue
from actors.mongo.jobs.pack_invariants import PackInvariants
from actors.mongo.keys import MongoKeys
from actors.protocol.reports import Findings
from domain.documents.journal import place_of

TRIM_BATCH = 1_000  # Entries removed together.
TRIM_STEP = timedelta(hours=1)  # Of the journal, looked at together.


class MongoJobStore(MongoEnded, MongoEndedPacks, MongoInvariants, MongoOverdue, MongoIndexCare):
    """All that the jobs need of the database. `timezone` is that of documents that name none."""

    def __init__(self, database: Documents, timezone: str) -> None:
        MongoEnded.__init__(self, database, timezone)
        MongoEndedPacks.__init__(self, database)
        MongoInvariants.__init__(self, database, timezone)
        MongoOverdue.__init__(self, database)
        MongoIndexCare.__init__(self, database)
        self._pack_rules = PackInvariants(database)
        self._journal = database.allotment_journal
        self._events = MongoEvents(database)
        self._audit, self._keys = MongoAudit(database), MongoKeys(database)
        self._database = database

    def check(self, limit: int | None) -> Findings:
        """Check the documents of so many subscriptions, and so many packs; None: of all."""
        found = super().check(limit)
        found.add(self._pack_rules.check(limit))
        return found

    def trim(self, before: datetime) -> int:
        """Remove entries made before an instant that all views contain, and count them.

        With them go events so old that every handler is done with.
        """
        with unavailable_on_error():
            self._events.trim(before)
            return sum(map(self._remove, self._old_entries(before)))

    def trim_audit(self, before: datetime) -> int:
        """Remove acts of before an instant, and keys that nobody could use since; count them."""
        return self._audit.trim(before) + self._keys.trim(before)

    def _old_entries(self, before: datetime) -> Iterator[Sequence[dict[str, Any]]]:
        """Yield old entries in batches. Ranges are short: some servers read all of a range."""
        begin = self._oldest(None, before)
        while begin is not None:
            end = min(begin + TRIM_STEP, before)
            where = {"at": {"$gte": begin, "$lt": end}}
            with self._journal.find(where, ["_id"], batch_size=TRIM_BATCH) as entries:
                while batch := list(islice(entries, TRIM_BATCH)):
                    yield batch
            begin = self._oldest(end, before)

    def _oldest(self, since: datetime | None, before: datetime) -> datetime | None:
        at = {"$lt": before} if since is None else {"$gte": since, "$lt": before}
        for entry in self._journal.find({"at": at}, ["at"]).sort("at", 1):
            if isinstance(entry["at"], datetime):
                found: datetime = entry["at"]
                return found
        return None

    def _remove(self, entries: Sequence[dict[str, Any]]) -> int:
        """Remove what views contain. By its id alone: the rest of an entry may be unreadable."""
        places = {entry["_id"]: place for entry in entries if (place := place_of(entry))}
        marks = read_marks(self._database, list({user_id for user_id, _ in places.values()}))
        written = [name for name, (user_id, seq) in places.items() if seq <= marks.get(user_id, 0)]
        if not written:
            return 0
        return self._journal.delete_many({"_id": {"$in": written}}).deleted_count
