"""`allotment_anonymizations`: a document each, and beside it what names a user or a key by its `_id`.

`anm_…` says how far one is, and never whose it is; `user …` names the user until it is done; `key …`
is the digest of an idempotency key, as long as that has its first answer.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from bson import Int64
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError, PyMongoError

from actors.janitor.anonymization_job import Anonymization, Step
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.failures import is_duplicate
from actors.mongo.ids import stored_id
from actors.mongo.transactions import CommitInDoubtError, Transactions
from actors.protocol.store import StorageUnavailableError
from domain.values import UserId

COLLECTION = "allotment_anonymizations"
SINCE_EVER = {"$gte": datetime(1970, 1, 1, tzinfo=UTC)}
NAMES_USERS: dict[str, Any] = {"_id": {"$gte": "user ", "$lt": "user!"}}

Document = dict[str, Any]


class MongoAnonymizations:
    """A `Ledger` on one database."""

    def __init__(self, database: Documents) -> None:
        self._documents = database[COLLECTION]
        self._transactions = Transactions(database)

    def begin(self, job: Anonymization, found_by: str | None) -> Anonymization:
        """Keep a new one; return it, or that which was begun for the user or the key before.

        Of two at once the ids of what is beside it refuse one, which returns the other.
        """
        assert job.user_id is not None, "it has just begun"
        name = job.anonymization_id
        user = {"_id": _user(job.user_id), "user_id": stored_id(job.user_id), "job": name}
        key = {"_id": _key(found_by), "job": name, "used_for": job.used_for, "at": job.started_at}
        new = [_new(job), user, *([key] if found_by else [])]
        with unavailable_on_error():
            known = self._known(job, found_by)
            if known is None and self._insert(new):
                return job
            known = known or self._known(job, found_by)
        if known is None:
            raise StorageUnavailableError("it was done meanwhile")
        return known

    def _insert(self, documents: list[Document]) -> bool:
        """Insert all or none. False: one is there. Raises PyMongoError."""

        def write(session: ClientSession) -> None:
            self._documents.insert_many(documents, session=session)

        try:
            self._in_transaction(write)
        except PyMongoError as error:
            if isinstance(error, DuplicateKeyError) or is_duplicate(error):
                return False
            raise
        return True

    def _known(self, job: Anonymization, found_by: str | None) -> Anonymization | None:
        assert job.user_id is not None, "it has just begun"
        names = [_key(found_by)] if found_by else []
        for name in (*names, _user(job.user_id)):
            beside = self._documents.find_one({"_id": name})
            if beside is not None and (found := self._find(beside["job"])):
                return found._replace(used_for=beside.get("used_for"))
        return None

    def running(self) -> list[Anonymization]:
        """Return those that are not done, the oldest first."""
        with unavailable_on_error():
            named = self._documents.find(NAMES_USERS)
            jobs = [self._find(document["job"]) for document in named]
        return sorted(filter(None, jobs), key=lambda job: job.started_at)

    def find(self, anonymization_id: str) -> Anonymization | None:
        """Return one."""
        with unavailable_on_error():
            return self._find(anonymization_id)

    def _find(self, anonymization_id: str) -> Anonymization | None:
        document = self._documents.find_one({"_id": anonymization_id})
        if document is None:
            return None
        user = None
        if document["step"] != str(Step.DONE):
            user = self._documents.find_one({"job": anonymization_id} | NAMES_USERS)
        return _read(document, user)

    def newest(self, limit: int) -> list[Anonymization]:
        """Return some, the newest first."""
        with unavailable_on_error():
            found = self._documents.find({"started_at": SINCE_EVER}).sort("started_at", -1)
            return [_read(document, None) for document in found.limit(limit)]

    def advance(self, job: Anonymization) -> None:
        """Keep the step, the instant before which it is not lifted, and what it waits for."""
        where = {"_id": job.anonymization_id, "step": {"$ne": str(Step.DONE)}}
        with unavailable_on_error():
            self._documents.update_one(where, {"$set": _fields(job)})

    def finish(self, job: Anonymization, at: datetime) -> None:
        """Note that it is done, and forget the user's id. One that is done stays as it is."""
        assert job.user_id is not None, "it is not done"
        where = {"_id": job.anonymization_id, "step": {"$ne": str(Step.DONE)}}
        done = {"step": str(Step.DONE), "finished_at": at, "waits_for": None}
        mine = {"_id": _user(job.user_id), "job": job.anonymization_id}

        def write(session: ClientSession) -> None:
            self._documents.update_one(where, {"$set": done}, session=session)
            self._documents.delete_one(mine, session=session)

        with unavailable_on_error():
            self._in_transaction(write)

    def forget_keys(self, before: datetime) -> None:
        """Forget the idempotency keys that were used before an instant."""
        with unavailable_on_error():
            self._documents.delete_many({"at": {"$lt": before}})

    def _in_transaction(self, write: Callable[[ClientSession], object]) -> None:
        try:
            self._transactions.run(write)
        except CommitInDoubtError as doubt:
            raise doubt.error from None


def counted(counts: Mapping[str, int]) -> Mapping[str, Any]:
    """Return the update that counts renamed documents."""
    named = {name.replace(".", "_"): Int64(count) for name, count in counts.items()}
    return {"$inc": {f"documents.{name}": count for name, count in named.items()}}


def _user(user_id: UserId) -> str:
    return f"user {user_id}"


def _key(found_by: str | None) -> str:
    return f"key {found_by}"


def _new(job: Anonymization) -> Document:
    return _fields(job) | {
        "_id": job.anonymization_id,
        "anonymous_id": stored_id(job.anonymous_id),
        "by": job.by,
        "documents": {},
        "started_at": job.started_at,
    }


def _fields(job: Anonymization) -> Document:
    return {
        "step": str(job.step),
        "lift_after": job.lift_after,
        "waits_for": job.waits_for,
        "finished_at": job.finished_at,
    }


def _read(document: Mapping[str, Any], user: Mapping[str, Any] | None) -> Anonymization:
    return Anonymization(
        document["_id"],
        None if user is None else UserId(str(user["user_id"])),
        UserId(str(document["anonymous_id"])),
        Step(document["step"]),
        document["by"],
        {name: int(count) for name, count in document["documents"].items()},
        document["started_at"],
        document["finished_at"],
        document["lift_after"],
        document["waits_for"],
    )
