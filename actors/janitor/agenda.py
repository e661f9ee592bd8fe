"""What is due, who does it, and what came of it: one entry a job, and a report a run.

A run is claimed before it begins and finished after it ended; both replace the job's entry if
it is still as it was read, so of two janitors one succeeds. A claim expires unless it is renewed:
what a killed janitor began is begun again, under the same due time.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from actors.protocol.reports import SweepReport

CLAIM_SECONDS = 60.0  # How long a claim holds without being renewed.
REPORTS_AGE_MAX = timedelta(days=7)  # Older reports are removed.


@dataclass(frozen=True, slots=True)
class JobEntry:
    """How a job stands. `revision` counts its changes."""

    job: str
    revision: int
    done_until: datetime
    """Runs due up to here are done, or were left out for a later one."""
    claimed_by: str | None = None
    claimed_until: datetime | None = None


class Agenda(Protocol):
    """Keeps entries and reports. Every call blocks; may raise StorageUnavailableError."""

    def entry(self, job: str, now: datetime) -> JobEntry:
        """Return how a job stands. One that never was begins now: nothing before is missed."""

    def replace(self, entry: JobEntry) -> bool:
        """Put an entry in the place of its predecessor. False: somebody else was faster."""

    def keep(self, report: SweepReport) -> None:
        """Keep the report of a run, and remove those older than REPORTS_AGE_MAX."""

    def reports(self, limit: int, job: str | None = None) -> list[SweepReport]:
        """Return the newest reports, of one job or of all, newest first."""


def claimed(entry: JobEntry, owner: str, due: datetime | None, now: datetime) -> JobEntry | None:
    """Return the entry with a claim; None where nothing is due, or somebody else does it.

    `due` is None for a run that was asked for.
    """
    if due is not None and due <= entry.done_until:
        return None
    if entry.claimed_until is not None and entry.claimed_until > now:
        return None
    until = now + timedelta(seconds=CLAIM_SECONDS)
    return replace(entry, revision=entry.revision + 1, claimed_by=owner, claimed_until=until)


def renewed(entry: JobEntry, now: datetime) -> JobEntry:
    """Return the entry with its claim held for longer."""
    until = now + timedelta(seconds=CLAIM_SECONDS)
    return replace(entry, revision=entry.revision + 1, claimed_until=until)


def finished(entry: JobEntry, due: datetime | None) -> JobEntry:
    """Return the entry without a claim, the run being done."""
    done = max(entry.done_until, due or entry.done_until)
    return JobEntry(entry.job, entry.revision + 1, done)


def released(entry: JobEntry) -> JobEntry:
    """Return the entry without a claim, the run being due still."""
    return JobEntry(entry.job, entry.revision + 1, entry.done_until)
