"""Puts one user's random id into all documents, a batch a transaction: all of it or nothing.

Documents keep their `_id`, be it that the id itself names the user. Of the others only fields that
change are written, and what another program writes at the same time refuses the batch, which is
done again: nobody's edit is lost.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from bson import ObjectId
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.client_session import ClientSession

from actors.events.records import dead_name
from actors.janitor.anonymization_job import Anonymization
from actors.mongo.accounts.store import MongoStore
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.ids import stored_id
from actors.mongo.jobs.anonymizations import COLLECTION, counted
from actors.mongo.jobs.fences import Fences, users_of
from actors.mongo.jobs.named_collections import NAMED, Document, NamedCollection
from domain.documents.anonymization import Renaming

BATCH = 200  # Documents rewritten in one transaction.
PROFILE_FIELDS = ("subscription", "features", "allotment")  # What is ours of a user's profile.

Write = InsertOne[Document] | DeleteOne | UpdateOne


class MongoRenaming:
    """`Papers` on one database. `profiles` is the application's collection of its users."""

    def __init__(self, database: Documents, profiles: str) -> None:
        self._database = database
        self._profiles = profiles
        self._store = MongoStore(database)
        self._fences = Fences(database, self._store)

    def fence(self, job: Anonymization) -> None:
        """Have no account of the user loaded from now on, the old one or the new one."""
        self._fences.fence(job)

    def seal(self, job: Anonymization) -> None:
        """Have no entry of the user appended from now on."""
        self._fences.seal(job)

    def settle(self, job: Anonymization) -> None:
        """Bring the views up to the last entry, and let the new account begin there."""
        self._fences.carry_over(job, self._fences.settle(users_of(job)[0]))

    def rename(self, job: Anonymization) -> Mapping[str, int]:
        """Go through everything once; return how many documents were renamed, by collection."""
        renamed: Counter[str] = Counter()
        renaming = _renaming(job)
        with unavailable_on_error():
            for name, named in NAMED.items():
                for ids in self._found(name, named, renaming):
                    renamed[name] += self._rename(name, named, ids, job, renaming)
            renamed[self._profiles] += self._leave_profile(job)
        return +renamed

    def lift(self, job: Anonymization) -> None:
        """Let accounts be loaded again."""
        with unavailable_on_error():
            self._store.in_transaction(lambda session: self._fences.lift(job, session))

    def _found(
        self, name: str, named: NamedCollection, renaming: Renaming
    ) -> Iterator[tuple[Any, ...]]:
        for where in named.find(self._database, renaming.old, renaming.new):
            found = self._database[name].find(where, ["_id"])
            ids = (document["_id"] for document in found)
            while batch := tuple(islice(ids, BATCH)):
                yield batch

    def _rename(
        self,
        name: str,
        named: NamedCollection,
        ids: tuple[Any, ...],
        job: Anonymization,
        renaming: Renaming,
    ) -> int:
        """Rewrite a batch, and count it where it is kept for operators."""
        changed: list[int] = []

        def write(session: ClientSession) -> None:
            changed.clear()
            where = {"_id": {"$in": list(ids)}}
            found = list(self._database[name].find(where, session=session))
            pairs = [(old, new) for old in found if (new := named.renamed(renaming, old)) != old]
            if not pairs:
                return
            writes = [write for old, new in pairs for write in _writes(old, new)]
            self._database[name].bulk_write(writes, session=session)
            if name == "allotment_events":
                events = {old["_id"]: new for old, new in pairs if new}
                self._move_letters(events, renaming, session)
            self._count(job, {name: len(pairs)}, session)
            changed.append(len(pairs))

        self._store.in_transaction(write)
        return sum(changed)

    def _move_letters(
        self, events: Mapping[str, Document], renaming: Renaming, session: ClientSession
    ) -> None:
        """Have the dead letters of events name these."""
        letters = self._database.allotment_dead_letters
        where = {"event_id": {"$in": list(events)}}
        writes: list[Write] = []
        for letter in list(letters.find(where, session=session)):
            event = events[letter["event_id"]]
            name = dead_name(letter["consumer"], event["_id"])
            renamed = {"_id": name, "event_id": event["_id"], "user_id": event["user_id"]}
            writes += _writes(letter, renaming.value(letter) | renamed)
        if writes:
            letters.bulk_write(writes, session=session)

    def _leave_profile(self, job: Anonymization) -> int:
        """Take back what is ours of the user's profile; one that was ours alone goes."""
        users, name = self._database[self._profiles], stored_id(users_of(job)[0])
        ours = dict.fromkeys(PROFILE_FIELDS, "")
        changed: list[int] = []

        def write(session: ClientSession) -> None:
            changed.clear()
            profile = users.find_one({"_id": name}, session=session)
            if profile is None or profile.keys().isdisjoint(ours):
                return
            if profile.keys() <= {"_id", *ours}:
                users.delete_one({"_id": name}, session=session)
            else:
                users.update_one({"_id": name}, {"$unset": ours}, session=session)
            self._count(job, {self._profiles: 1}, session)
            changed.append(1)

        self._store.in_transaction(write)
        return sum(changed)

    def _count(self, job: Anonymization, counts: Mapping[str, int], session: ClientSession) -> None:
        where = {"_id": job.anonymization_id}
        self._database[COLLECTION].update_one(where, counted(counts), session=session)


def _writes(old: Document, new: Document | None) -> Iterator[Write]:
    if new is None:
        yield DeleteOne({"_id": old["_id"]})
    elif new["_id"] != old["_id"]:
        yield DeleteOne({"_id": old["_id"]})
        yield InsertOne(new)
    else:
        changed = {n: v for n, v in new.items() if n not in old or old[n] != v}
        yield UpdateOne({"_id": old["_id"]}, {"$set": changed})


def _renaming(job: Anonymization) -> Renaming:
    old, new = users_of(job)
    stored_old: ObjectId | str = stored_id(old)
    return Renaming(old, new, stored_old, stored_id(new))
