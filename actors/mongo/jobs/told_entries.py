"""What the journal tells of documents that are held to it, and how what breaks a rule is named."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice, pairwise
from typing import Any, NamedTuple

from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import read_user_id
from actors.protocol.reports import DIFFERING_USERS_MAX, Findings
from domain.documents.journal import SpoiltEntry, entry_id, read_or_name
from domain.messages import Entry
from domain.values import UserId

FEW, MANY = (
    16,
    512,
)  # Newest entries of a user that are read; so many only if the few do not say all.
USERS_TOGETHER = 8  # Whose many entries are in RAM at once.
IDS_PER_QUERY_MAX = 1000

logger = logging.getLogger(__name__)
Document = dict[str, Any]


class Wanted(NamedTuple):
    """Which of a user's entries are wanted."""

    newest: int
    """The last of them, as a document contains it."""
    since: datetime
    """They are to go back to before this."""


class ToldEntries:
    """Reads the newest entries of many users."""

    def __init__(self, database: Documents) -> None:
        self._database = database

    def each(
        self, wanted: Mapping[UserId, Wanted], found: Findings
    ) -> Iterator[tuple[UserId, list[Entry]]]:
        """Yield users with their newest entries, as far as they are wanted; name unreadable ones.

        They are read as they are asked for: few of them are in RAM at once.
        """
        rest: dict[UserId, Wanted] = {}
        for user_id, entries in self._newest(wanted, FEW, found).items():
            newest, since = wanted[user_id]
            if entries is None or newest <= FEW or tells_in_full(entries, since):
                yield user_id, entries or []
            else:
                rest[user_id] = wanted[user_id]
        users = iter(rest.items())
        while some := dict(islice(users, USERS_TOGETHER)):
            for user_id, entries in self._newest(some, MANY, found).items():
                yield user_id, entries or []

    def _newest(
        self, wanted: Mapping[UserId, Wanted], limit: int, found: Findings
    ) -> dict[UserId, list[Entry] | None]:
        """Return so many of each user's newest entries; None: some of them cannot be read."""
        known: dict[UserId, list[Entry]] = {user_id: [] for user_id in wanted}
        spoilt: list[SpoiltEntry] = []
        ids = [
            entry_id(user_id, seq)
            for user_id, (newest, _) in wanted.items()
            for seq in range(max(newest - limit, 0) + 1, newest + 1)
        ]
        for entry in self._read(ids):
            if isinstance(entry, SpoiltEntry):
                spoilt.append(entry)
            else:
                known[entry.user_id].append(entry)
        for entries in known.values():
            entries.sort(key=lambda entry: entry.seq)
        for entry in spoilt:
            self._quarantine(entry, found)
        return known | dict.fromkeys((entry.user_id for entry in spoilt), None)

    def _quarantine(self, entry: SpoiltEntry, found: Findings) -> None:
        found.quarantined += 1
        found.name([entry.user_id])
        logger.warning("entry %d of %s cannot be read: %s", entry.seq, entry.user_id, entry.reason)

    def _read(self, ids: Sequence[str]) -> Iterator[Entry | SpoiltEntry]:
        for start in range(0, len(ids), IDS_PER_QUERY_MAX):
            part = ids[start : start + IDS_PER_QUERY_MAX]
            for document in self._database.allotment_journal.find({"_id": {"$in": part}}):
                entry = read_or_name(document)
                if entry is not None:
                    yield entry


def tells_in_full(entries: Sequence[Entry], begin: datetime) -> bool:
    """Say whether consecutive entries go back to before an instant, or to the first of all."""
    gaps = any(later.seq - earlier.seq != 1 for earlier, later in pairwise(entries))
    return bool(entries) and not gaps and (entries[0].seq == 1 or entries[0].at < begin)


def note_broken(found: Findings, document: Document, kind: str, rule: str) -> None:
    """Count a document that breaks a rule, and name its user."""
    found.invariants_broken += 1
    user = str(document.get("user_id"))
    if len(found.users) < DIFFERING_USERS_MAX:
        found.users.append(user)
        logger.warning("%s %s of %s breaks: %s", kind, document["_id"], user, rule)


def note_unreadable(found: Findings, kind: str, document: Document, error: ValueError) -> None:
    """Count a document that cannot be read, and name its user, where that can be."""
    found.quarantined += 1
    with contextlib.suppress(ValueError):
        found.name([read_user_id(document.get("user_id"))])
    if found.quarantined <= DIFFERING_USERS_MAX:
        logger.warning("%s %s cannot be read: %s", kind, document["_id"], error)
