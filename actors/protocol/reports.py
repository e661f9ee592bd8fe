"""What operators read about the parts of the service."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel

from domain.account import Account
from domain.comparison import Difference, difference
from domain.values import Policy, UserId

DIFFERING_USERS_MAX = 100  # Users named in one report; all are counted.


class ShardReport(BaseModel):
    """One row of `GET /admin/shards`."""

    shard: str
    node_id: str
    pid: int
    users: int
    queued: int
    hits: int
    misses: int
    reads: int
    writes: int
    journal_seconds_behind: float
    uptime_seconds: float
    holds_open: int = 0
    """Of accounts in RAM, as all that is said of holds here."""
    credits_held: int = 0
    oldest_hold_seconds: float = 0.0
    holds_expired: int = 0
    heartbeat_age_seconds: float
    """RAM contains every change that was in MongoDB so many seconds ago."""
    stale: bool
    """The heartbeat is too old: every call is answered from MongoDB."""
    code: str = ""
    """Which code its process runs: equal where it is the same."""


class SyncReport(BaseModel):
    """The answer of `GET /admin/sync`."""

    lag_seconds: float
    """Every shard knows every change that was in MongoDB so many seconds ago."""
    last_event_at: datetime | None
    """When another program's change was last heard of; null: never since the start."""
    events_applied: int
    resumes: int
    resyncs: int
    quarantined: int


@dataclass(slots=True)
class Findings:
    """What one run of a job has found and done, at one shard or at all."""

    checked: int = 0
    missing_in_ram: int = 0
    missing_in_db: int = 0
    stale: int = 0
    quarantined: int = 0
    repaired: int = 0
    expired: int = 0
    holds_expired: int = 0
    invariants_broken: int = 0
    trimmed: int = 0
    differed: int = 0
    """Objects of Stripe's that were not as we knew them."""
    users: list[str] = field(default_factory=list)
    """The first of those who differed, whose documents break an invariant, or cannot be read."""
    differences: list[str] = field(default_factory=list)
    """The first of Stripe's objects that differed, and how."""
    indexes_made: int = 0
    """Indexes that were gone, and are there again."""
    index_problems: list[str] = field(default_factory=list)
    """Indexes that cannot be made, and others that may refuse what we write."""

    def note_difference(self, what: str) -> None:
        """Count an object of Stripe's that was not as we knew it."""
        self.differed += 1
        if len(self.differences) < DIFFERING_USERS_MAX:
            self.differences.append(what)

    def take(self, differing: Mapping[UserId, Difference]) -> None:
        """Count accounts that differ, each under its kind."""
        for kind in differing.values():
            setattr(self, kind, getattr(self, kind) + 1)
        self.name(differing)

    def name(self, users: Iterable[str]) -> None:
        """Name users, as many as a report has room for, each once."""
        self.users = list(dict.fromkeys((*self.users, *users)))[:DIFFERING_USERS_MAX]

    @property
    def drift(self) -> float:
        """The share of compared accounts in which RAM and MongoDB differed."""
        differing = self.missing_in_ram + self.missing_in_db + self.stale
        return differing / self.checked if self.checked else 0.0

    def add(self, other: "Findings") -> None:
        """Count what was found elsewhere, too."""
        for counted in fields(self):
            if counted.name not in ("users", "differences", "index_problems"):
                total = getattr(self, counted.name) + getattr(other, counted.name)
                setattr(self, counted.name, total)
        self.name(other.users)
        self.differences = [*self.differences, *other.differences][:DIFFERING_USERS_MAX]
        self.index_problems += other.index_problems


@dataclass(slots=True)
class Reread:
    """What reading RAM anew from MongoDB has changed, of one shard or of all."""

    checked: int = 0
    reloaded: int = 0
    """Accounts that differed, or were not in RAM."""
    removed: int = 0
    """Accounts in RAM of which MongoDB has nothing any more."""

    def note(self, before: Account | None, after: Account, now: datetime, policy: Policy) -> None:
        """Count what became of one account. One that was written meanwhile does not differ."""
        if before is not None and before.subscriptions and not after.subscriptions:
            self.removed += 1
        elif before is None or (before.seq == after.seq and difference(before, after, now, policy)):
            self.reloaded += 1

    def add(self, other: "Reread") -> None:
        """Count what another shard has read, too."""
        self.checked += other.checked
        self.reloaded += other.reloaded
        self.removed += other.removed


class ReshardReport(BaseModel):
    """The answer of `/admin/reshard`: the resharding that runs, or ran last."""

    shards: int
    """How many there shall be; how many there are, where nothing was ever changed."""
    shards_before: int
    slots: int = 0
    """How many of the 4,096 had to move when it began."""
    moved: int = 0
    running: bool
    started_at: datetime | None = None
    elapsed_seconds: float = 0.0


class AnonymizationReport(BaseModel):
    """How far an anonymisation is, or what it has done. It never says whose it was."""

    anonymization_id: str
    anonymous_id: str | None
    """The random id that everything has now; null where nothing was found."""
    step: Literal["fencing", "renaming", "lifting", "done"]
    by: str | None
    """Who has asked for it."""
    documents: dict[str, int]
    """How many were renamed, by collection."""
    started_at: datetime
    finished_at: datetime | None
    """Null: it goes on."""
    waits_for: str | None
    """What keeps it from going on now, where something does."""


class Anonymized(NamedTuple):
    """The answer to whoever asks for an anonymisation."""

    report: AnonymizationReport
    replayed: bool
    """The idempotency key had this answer before."""


class RereadReport(BaseModel):
    """The answer to `POST /admin/sync`."""

    checked: int
    reloaded: int
    removed: int
    elapsed_ms: int


class TestClockReport(BaseModel):
    """The answer to `PUT /admin/test-clock`."""

    __test__ = False  # It tests nothing itself.

    now: datetime


class SweepReport(BaseModel):
    """What one run of a job has found and done."""

    sweep_id: str
    job: str
    started_at: datetime
    elapsed_ms: int
    checked: int = 0
    missing_in_ram: int = 0
    missing_in_db: int = 0
    stale: int = 0
    expired: int = 0
    holds_expired: int = 0
    """Holds that were over and that no shard had in RAM."""
    quarantined: int = 0
    invariants_broken: int = 0
    trimmed: int = 0
    differed: int = 0
    repaired: int = 0
    drift: float = 0.0
    users: list[str] = []
    """The first who differed, whose documents break an invariant, or cannot be read."""
    differences: list[str] = []
    """The first of Stripe's objects that were not as we knew them, and how."""
    indexes_made: int = 0
    """Indexes that were gone, and are there again."""
    index_problems: list[str] = []
    """Indexes that cannot be made, and others that may refuse what we write."""


class StripeEventReport(BaseModel):
    """An event of Stripe's that is not applied."""

    id: str
    type: str
    subject: str
    """The Stripe object that it is applied to."""
    state: str
    parked: bool
    """Its user is not known yet."""
    attempts: int
    last_error: str | None
    received_at: datetime


class StripeWaiting(BaseModel):
    """How many events of Stripe's are not applied."""

    fresh: int
    """They were delivered, and are taken up before all others."""
    found: int
    """A comparison has found them."""
    parked: int
    """Their user is not known yet."""
    dead: int
