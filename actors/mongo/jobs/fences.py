"""The fence around a user who is being made anonymous: nothing is decided behind it.

The mark of the account says so to whoever loads it (`fenced`), and an entry without an instant
takes the number that comes next in its journal: whoever has the account in RAM, be it a process
that nobody knows of any more, wants that number and is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import Int64
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from actors.janitor.anonymization_job import Anonymization
from actors.mongo.accounts.marks import FENCED, read_mark
from actors.mongo.accounts.store import MongoStore
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import stored_id
from actors.protocol.store import JournalBrokenError, ViewsTakenError
from domain.documents.journal import (
    UnreadableEntryError,
    command_id,
    entry_id,
    place_of,
    read_entry,
)
from domain.documents.views import project
from domain.messages import Entry
from domain.values import UserId

FENCE = "fence"  # The kind of the entry that ends a journal.
ENTRIES_AT_ONCE = 200  # That views are brought up to, in one transaction.


class Fences:
    """Fences on one database."""

    def __init__(self, database: Documents, store: MongoStore) -> None:
        self._database = database
        self._journal = database.allotment_journal
        self._accounts = database.allotment_accounts
        self._store = store

    def fence(self, job: Anonymization) -> None:
        """Have no account of the user loaded from now on, the old one or the new one."""
        with unavailable_on_error():
            self._accounts.bulk_write(
                [
                    UpdateOne(
                        {"_id": stored_id(user_id)},
                        {
                            "$set": {FENCED: job.anonymization_id},
                            "$setOnInsert": {"applied_seq": Int64(0)},
                        },
                        upsert=True,
                    )
                    for user_id in users_of(job)
                ]
            )

    def seal(self, job: Anonymization) -> None:
        """Have no entry of the user appended from now on."""
        user_id = users_of(job)[0]
        name = command_id(user_id, f"§{FENCE} {job.anonymization_id}")
        with unavailable_on_error():
            while self._journal.find_one({"command_id": name}, ["_id"]) is None:
                fence = {
                    "_id": entry_id(user_id, 1 + max(self._newest(user_id), self._mark(user_id))),
                    "command_id": name,
                    "user_id": stored_id(user_id),
                    "kind": FENCE,
                }
                try:
                    self._journal.insert_one(fence)
                except DuplicateKeyError:
                    continue  # An entry was faster, or another janitor.

    def settle(self, user_id: UserId) -> int:
        """Bring the views up to the last entry and return its number.

        JournalBrokenError, ViewsRefusedError: they cannot be.
        """
        while True:
            with unavailable_on_error():
                mark = self._mark(user_id)
                ids = [entry_id(user_id, mark + 1 + i) for i in range(ENTRIES_AT_ONCE)]
                found = [d for d in self._journal.find({"_id": {"$in": ids}}) if not is_fence(d)]
                if not found and self._newest(user_id) > mark:
                    raise JournalBrokenError({user_id: f"entry {mark + 1} is missing"})
            entries = _in_order(user_id, mark, found)
            if not entries:
                return mark
            try:
                self._store.write_views([project(entries)])
            except ViewsTakenError:
                continue  # The shard has written them.

    def carry_over(self, job: Anonymization, seq: int) -> None:
        """Let the new account begin where the old one has ended."""
        fields = {"$set": {"applied_seq": Int64(seq)}}
        where = {"_id": stored_id(job.anonymous_id), FENCED: job.anonymization_id}
        with unavailable_on_error():
            self._accounts.update_one(where, fields)

    def lift(self, job: Anonymization, session: ClientSession) -> None:
        """Take the fence away. Whoever comes under the old id afterwards is left alone."""
        old, new = users_of(job)
        fenced = {FENCED: job.anonymization_id}
        name = command_id(old, f"§{FENCE} {job.anonymization_id}")
        self._journal.delete_one({"command_id": name}, session=session)
        self._accounts.delete_one({"_id": stored_id(old)} | fenced, session=session)
        mine = {"_id": stored_id(new)} | fenced
        self._accounts.delete_one(mine | {"applied_seq": 0}, session=session)
        self._accounts.update_one(mine, {"$unset": {FENCED: ""}}, session=session)

    def _mark(self, user_id: UserId) -> int:
        document = self._accounts.find_one({"_id": stored_id(user_id)}) or {}
        mark = read_mark(document)
        if mark is None:
            raise JournalBrokenError({user_id: "its mark is no whole number"})
        return mark

    def _newest(self, user_id: UserId) -> int:
        """Return the number of the newest entry that is there; 0: there is none."""
        found = self._journal.find(named_by_commands(user_id), ["kind"])
        places = [place for d in found if not is_fence(d) and (place := place_of(d))]
        return max([seq for owner, seq in places if owner == user_id], default=0)


def users_of(job: Anonymization) -> tuple[UserId, UserId]:
    """Return the old id and the new one."""
    assert job.user_id is not None, "it is not done"
    return job.user_id, job.anonymous_id


def named_by_commands(user_id: UserId) -> dict[str, Any]:
    """Return what finds the entries of a user by an index: user ids have no spaces."""
    return {"command_id": {"$gte": f"{user_id} ", "$lt": f"{user_id}!"}}


def is_fence(document: Mapping[str, Any]) -> bool:
    """Say whether an entry is the fence."""
    return document.get("kind") == FENCE


def _in_order(
    user_id: UserId, mark: int, documents: Iterable[Mapping[str, Any]]
) -> Sequence[Entry]:
    try:
        entries = sorted(map(read_entry, documents), key=lambda entry: entry.seq)
    except UnreadableEntryError as error:
        raise JournalBrokenError({user_id: f"an entry cannot be read: {error}"}) from error
    if [entry.seq for entry in entries] != list(range(mark + 1, mark + 1 + len(entries))):
        raise JournalBrokenError({user_id: "an entry is missing"})
    return entries
