"""What operators read about the parts of the service."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from domain.account import Account
from domain.api.fields import Moment
from domain.comparison import Difference, difference
from domain.values import Policy, UserId

DIFFERING_USERS_MAX = 100  # Users named in one report; all are counted.


class Report(BaseModel):
    """Every field is always there."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class ShardReport(Report):
    """One row of `GET /admin/shards`."""

    shard: str = Field(examples=["shard-000"])
    node_id: str = Field(examples=["6f1e"])
    pid: int = Field(examples=[4242])
    users: int = Field(examples=[5000])
    queued: int = Field(examples=[0])
    hits: int = Field(examples=[90000])
    misses: int = Field(examples=[5000])
    reads: int = Field(examples=[95000])
    writes: int = Field(examples=[12000])
    """Requests to change an account: charges, holds, credits …; refused and repeated ones, too."""
    journal_seconds_behind: float = Field(examples=[0.1])
    uptime_seconds: float = Field(examples=[3600.0])
    holds_open: int = 0
    """Of accounts in RAM, as all that is said of holds here."""
    credits_held: int = 0
    oldest_hold_seconds: float = 0.0
    holds_expired: int = 0
    heartbeat_age_seconds: float = Field(examples=[0.4])
    """RAM contains every change that was in MongoDB so many seconds ago."""
    stale: bool = Field(examples=[False])
    """The heartbeat is too old: every call is answered from MongoDB."""
    code: str = Field(default="", examples=["9b1d0c44"])
    """Which code its process runs: equal where it is the same."""
    refusals: int = 0
    """Of `writes`, those that were refused: 402, 404, 409, 422."""
    charges: int = Field(default=0, examples=[11000])
    """Of `writes`, charges and settled holds that were written: repeats are not counted again."""
    credits_charged: int = Field(default=0, examples=[330000])
    """What they took; a reversal takes nothing off."""


class SyncReport(Report):
    """The answer of `GET /admin/sync`."""

    lag_seconds: float = Field(examples=[0.4])
    """Every shard knows every change that was in MongoDB so many seconds ago."""
    last_event_at: Moment | None
    """When another program's change was last heard of; null: never since the start."""
    events_applied: int = Field(examples=[3])
    resumes: int = Field(examples=[1])
    resyncs: int = Field(examples=[0])
    quarantined: int = Field(examples=[0])


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


class ReshardReport(Report):
    """The answer of `/admin/reshard`: the resharding that runs, or ran last."""

    shards: int = Field(examples=[8])
    """How many there shall be; how many there are, where nothing was ever changed."""
    shards_before: int = Field(examples=[3])
    slots: int = Field(default=0, examples=[2560])
    """How many of the 4,096 had to move when it began."""
    moved: int = Field(default=0, examples=[640])
    running: bool = Field(examples=[True])
    started_at: Moment | None = None
    elapsed_seconds: float = Field(default=0.0, examples=[2.5])


class AnonymizationReport(Report):
    """How far an anonymisation is, or what it has done. It never says whose it was."""

    anonymization_id: str = Field(examples=["anm_5d0c1f1e9a3b4c5d6e7f8091"])
    anonymous_id: str | None = Field(examples=["anon-91c2a7d04be85f36a1c0d9e2"])
    """The random id that everything has now; null where nothing was found."""
    step: Literal["fencing", "renaming", "lifting", "done"] = Field(examples=["done"])
    by: str | None = Field(examples=["key:5f0c"])
    """Who has asked for it."""
    documents: dict[str, int] = Field(
        examples=[
            {
                "allotment_journal": 1240,
                "subscriptions": 2,
                "dailycredits": 61,
                "usages": 1180,
                "allotment_events": 14,
            }
        ]
    )
    """How many were renamed, by collection."""
    started_at: Moment
    finished_at: datetime | None = Field(examples=["2026-03-10T12:00:02Z"])
    """Null: it goes on."""
    waits_for: str | None
    """What keeps it from going on now, where something does."""


class Anonymized(NamedTuple):
    """The answer to whoever asks for an anonymisation."""

    report: AnonymizationReport
    replayed: bool
    """The idempotency key had this answer before."""


class RereadReport(Report):
    """The answer to `POST /admin/sync`."""

    checked: int = Field(examples=[1])
    reloaded: int = Field(examples=[1])
    removed: int = Field(examples=[0])
    elapsed_ms: int = Field(examples=[12])


class TestClockReport(Report):
    """The answer to `PUT /admin/test-clock`."""

    __test__ = False  # It tests nothing itself.

    now: datetime = Field(examples=["2026-04-09T00:00:00Z"])


class SweepReport(Report):
    """What one run of a job has found and done."""

    sweep_id: str = Field(examples=["sweep-20260310T120000Z"])
    job: str = Field(examples=["sweep"])
    started_at: Moment
    elapsed_ms: int = Field(examples=[1200])
    checked: int = Field(default=0, examples=[5000])
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


class StripeEventReport(Report):
    """An event of Stripe's that is not applied."""

    id: str = Field(examples=["evt_1"])
    type: str = Field(examples=["invoice.paid"])
    subject: str = Field(examples=["sub_1"])
    """The Stripe object that it is applied to."""
    state: str = Field(examples=["received"])
    parked: bool = Field(examples=[True])
    """Its user is not known yet."""
    attempts: int = Field(examples=[3])
    last_error: str | None = Field(examples=["its user is not known yet"])
    received_at: Moment


class StripeWaiting(Report):
    """How many events of Stripe's are not applied."""

    fresh: int = Field(examples=[0])
    """They were delivered, and are taken up before all others."""
    found: int = Field(examples=[0])
    """A comparison has found them."""
    parked: int = Field(examples=[1])
    """Their user is not known yet."""
    dead: int = Field(examples=[0])
