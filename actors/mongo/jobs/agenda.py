"""The janitor's agenda in MongoDB: `allotment_jobs` holds an entry a job, `allotment_sweeps` a report a run."""

import contextlib
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from actors.janitor.agenda import REPORTS_AGE_MAX, JobEntry
from actors.mongo.connection import unavailable_on_error
from actors.mongo.embedded_wire import Documents
from actors.mongo.instants import UNIX_START
from actors.protocol.reports import SweepReport
from actors.protocol.store import StorageUnavailableError


class MongoAgenda:
    """Keeps entries and reports."""

    def __init__(self, database: Documents) -> None:
        self._jobs = database.allotment_jobs
        self._sweeps = database.allotment_sweeps

    def entry(self, job: str, now: datetime) -> JobEntry:
        """Return how a job stands. One that never was begins now."""
        with unavailable_on_error():
            document = self._jobs.find_one({"_id": job})
            if document is None:
                with contextlib.suppress(DuplicateKeyError):  # Another janitor was faster.
                    self._jobs.insert_one({"_id": job, **_fields(JobEntry(job, 1, now))})
                document = self._jobs.find_one({"_id": job})
        if document is None:
            raise StorageUnavailableError("no majority has the job that is there")
        return JobEntry(
            job,
            int(document["revision"]),
            document["done_until"],
            document["claimed_by"],
            document["claimed_until"],
        )

    def replace(self, entry: JobEntry) -> bool:
        """Put an entry in the place of its predecessor. False: somebody else was faster."""
        where = {"_id": entry.job, "revision": entry.revision - 1}
        with unavailable_on_error():
            changed = self._jobs.update_one(where, {"$set": _fields(entry)})
        return changed.matched_count == 1

    def keep(self, report: SweepReport) -> None:
        """Keep the report of a run, and remove old ones. A report that is there stays."""
        document = report.model_dump()
        with unavailable_on_error():
            self._sweeps.update_one(
                {"_id": document.pop("sweep_id")}, {"$setOnInsert": document}, upsert=True
            )
            oldest = report.started_at - REPORTS_AGE_MAX
            self._sweeps.delete_many({"started_at": {"$lt": oldest}})

    def reports(self, limit: int, job: str | None = None) -> list[SweepReport]:
        """Return the newest reports, of one job or of all, newest first."""
        with unavailable_on_error():
            where: dict[str, Any] = {"started_at": {"$gte": UNIX_START}}
            if job is not None:
                where = {"job": job} | where
            found = list(self._sweeps.find(where).sort("started_at", -1).limit(limit))
        return [SweepReport(sweep_id=document.pop("_id"), **document) for document in found]


def _fields(entry: JobEntry) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "done_until": entry.done_until,
        "claimed_by": entry.claimed_by,
        "claimed_until": entry.claimed_until,
    }
