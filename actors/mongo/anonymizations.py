"""`allotment_anonymizations`: one document each. Whose it was is in it until it is done, no longer."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import Int64
from pymongo.errors import DuplicateKeyError

from actors.anonymization import Job, Step
from actors.mongo.connection import Documents, unavailable_on_error
from actors.mongo.ids import stored_id
from actors.store import StorageUnavailableError
from domain.values import UserId

COLLECTION = "allotment_anonymizations"
BEGINNING = {"$gte": datetime(1970, 1, 1, tzinfo=UTC)}


class MongoAnonymizations:
    """A `Ledger` on one database."""

    def __init__(self, database: Documents) -> None:
        self._jobs = database[COLLECTION]

    def begin(self, job: Job, found_by: str | None) -> Job:
        """Keep a new one; return it, or that which was begun for the user or the key before.

        Of two at once the unique index on the user refuses one, which returns the other.
        """
        assert job.user_id is not None, "it has just begun"
        document = _fields(job) | {
            "_id": job.anonymization_id,
            "user_id": stored_id(job.user_id),
            "anonymous_id": stored_id(job.anonymous_id),
            "by": job.by,
            "documents": {},
            "started_at": job.started_at,
            "used_for": job.used_for,
            **({"key": found_by} if found_by else {}),
        }
        with unavailable_on_error():
            if found_by and (known := self._jobs.find_one({"key": found_by})):
                return _read(known)
            try:
                self._jobs.insert_one(document)
            except DuplicateKeyError:
                either = [{"user_id": document["user_id"]}]
                either += [{"key": found_by}] if found_by else []
                known = next(filter(None, map(self._jobs.find_one, either)), None)
                if known is None:
                    raise StorageUnavailableError("it was done meanwhile") from None
                return _read(known)
        return job

    def running(self) -> list[Job]:
        """Return those that are not done, the oldest first."""
        with unavailable_on_error():
            found = self._jobs.find({"user_id": {"$exists": True}})
            return sorted(map(_read, found), key=lambda job: job.started_at)

    def find(self, anonymization_id: str) -> Job | None:
        """Return one."""
        with unavailable_on_error():
            document = self._jobs.find_one({"_id": anonymization_id})
        return None if document is None else _read(document)

    def newest(self, limit: int) -> list[Job]:
        """Return some, the newest first."""
        with unavailable_on_error():
            found = self._jobs.find({"started_at": BEGINNING}).sort("started_at", -1).limit(limit)
            return [_read(document) for document in found]

    def advance(self, job: Job) -> None:
        """Keep the step, the instant before which it is not lifted, and what it waits for."""
        where = {"_id": job.anonymization_id, "step": {"$ne": str(Step.DONE)}}
        with unavailable_on_error():
            self._jobs.update_one(where, {"$set": _fields(job)})

    def finish(self, job: Job, at: datetime) -> None:
        """Note that it is done, and forget the user's id. One that is done stays as it is."""
        where = {"_id": job.anonymization_id, "step": {"$ne": str(Step.DONE)}}
        done = {"step": str(Step.DONE), "finished_at": at, "waits_for": None}
        with unavailable_on_error():
            self._jobs.update_one(where, {"$set": done, "$unset": {"user_id": ""}})

    def forget_keys(self, before: datetime) -> None:
        """Forget the idempotency keys of those that were done before an instant."""
        where = {"key": {"$exists": True}, "finished_at": {"$lt": before}}
        with unavailable_on_error():
            for document in self._jobs.find(where, ["_id"]):
                keys = {"key": "", "used_for": ""}
                self._jobs.update_one({"_id": document["_id"]}, {"$unset": keys})


def counted(counts: Mapping[str, int]) -> Mapping[str, Any]:
    """Return the update that counts renamed documents."""
    named = {name.replace(".", "_"): Int64(count) for name, count in counts.items()}
    return {"$inc": {f"documents.{name}": count for name, count in named.items()}}


def _fields(job: Job) -> dict[str, Any]:
    return {
        "step": str(job.step),
        "lift_after": job.lift_after,
        "waits_for": job.waits_for,
        "finished_at": job.finished_at,
    }


def _read(document: Mapping[str, Any]) -> Job:
    user_id = document.get("user_id")
    return Job(
        document["_id"],
        None if user_id is None else UserId(str(user_id)),
        UserId(str(document["anonymous_id"])),
        Step(document["step"]),
        document["by"],
        {name: int(count) for name, count in document["documents"].items()},
        document["started_at"],
        document["finished_at"],
        document["lift_after"],
        document["waits_for"],
        document.get("used_for"),
    )
