"""What an anonymisation is, how far it may be, and what carries it out stands on."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from actors.protocol.directory import Directory
from actors.protocol.reports import AnonymizationReport
from domain.values import UserId

AUDIT = "allotment_audit"


class Step(StrEnum):
    """How far an anonymisation is."""

    FENCING = "fencing"
    """Nothing is decided about the user any more, from some instant of this step on."""
    RENAMING = "renaming"
    LIFTING = "lifting"
    """Nothing names the user; who comes under the old id now is somebody new."""
    DONE = "done"


class Anonymization(NamedTuple):
    """One anonymisation as it is kept."""

    anonymization_id: str
    user_id: UserId | None
    """None once it is done."""
    anonymous_id: UserId
    step: Step
    by: str | None
    documents: Mapping[str, int]
    """How many were renamed, by collection."""
    started_at: datetime
    finished_at: datetime | None = None
    lift_after: datetime | None = None
    """Before that, an append of a process that is gone may still land."""
    waits_for: str | None = None
    used_for: str | None = None
    """What its idempotency key was used for: a digest."""


class Ledger(Protocol):
    """Keeps anonymisations. Every call blocks; every call may raise StorageUnavailableError."""

    def begin(self, job: Anonymization, found_by: str | None) -> Anonymization:
        """Keep a new one; return it, or that which was begun for the user or the key before."""

    def running(self) -> list[Anonymization]:
        """Return those that are not done, the oldest first."""

    def find(self, anonymization_id: str) -> Anonymization | None:
        """Return one."""

    def newest(self, limit: int) -> list[Anonymization]:
        """Return some, the newest first."""

    def advance(self, job: Anonymization) -> None:
        """Keep the step, the instant before which it is not lifted, and what it waits for."""

    def finish(self, job: Anonymization, at: datetime) -> None:
        """Note that it is done, and forget the user's id."""

    def forget_keys(self, before: datetime) -> None:
        """Forget the idempotency keys of those that were done before an instant."""


class Papers(Protocol):
    """The documents of users. Every call blocks, may be repeated, and may raise StoreError."""

    def fence(self, job: Anonymization) -> None:
        """Have no account of the user loaded from now on, the old one or the new one."""

    def seal(self, job: Anonymization) -> None:
        """Have no entry of the user appended from now on. Every shard has let go of the user."""

    def settle(self, job: Anonymization) -> None:
        """Bring the views up to the last entry. JournalBrokenError, ViewsRefusedError."""

    def rename(self, job: Anonymization) -> Mapping[str, int]:
        """Go through everything once; return how many documents were renamed, by collection."""

    def lift(self, job: Anonymization) -> None:
        """Let accounts be loaded again. Nothing is left of the old id afterwards."""


class EventsRelay(Protocol):
    """The way to the relay. May raise UnavailableError."""

    async def let_go(self, user_id: UserId) -> None:
        """Have the events of a user forgotten, as they were."""


class Shards(Protocol):
    """The way to the shards. Every call may raise ShardLostError, StorageUnavailableError."""

    async def directory(self) -> Directory:
        """Return the newest directory."""

    async def let_go(self, index: int, user_id: UserId) -> float:
        """Have a shard forget a user; return for how many seconds none of its appends was in doubt."""


def report_of(job: Anonymization) -> AnonymizationReport:
    """Return an anonymisation as operators read of it: never with the id that was the user's."""
    # That it was asked for is written down, and names whomever it names.
    named = job.documents.keys() - {AUDIT}
    return AnonymizationReport(
        anonymization_id=job.anonymization_id,
        anonymous_id=None if job.finished_at and not named else job.anonymous_id,
        step=job.step.value,
        by=job.by,
        documents=dict(job.documents),
        started_at=job.started_at,
        finished_at=job.finished_at,
        waits_for=job.waits_for,
    )
