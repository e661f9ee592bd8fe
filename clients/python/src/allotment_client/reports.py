"""What the service answers operators. Counts are of accounts unless they say otherwise."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from allotment_client.answers import CreditStatusResponse
from allotment_client.lists import PriceRecord, SubscriptionRecord


@dataclass(frozen=True, slots=True)
class RereadReport:
    """What reading RAM again from MongoDB has changed."""

    checked: int
    reloaded: int
    removed: int
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What one run of a job has found and done."""

    sweep_id: str
    job: str
    started_at: datetime
    elapsed_ms: int
    checked: int
    missing_in_ram: int
    missing_in_db: int
    stale: int
    expired: int
    holds_expired: int
    quarantined: int
    invariants_broken: int
    trimmed: int
    differed: int
    repaired: int
    drift: float
    users: list[str]
    """The first who differed, whose documents break an invariant, or cannot be read."""
    differences: list[str]
    """The first of Stripe's objects that were not as they were known, and how."""
    indexes_made: int
    index_problems: list[str]


@dataclass(frozen=True, slots=True)
class AnonymizationReport:
    """How far an anonymisation is, or what it has done. It never says whose it was."""

    anonymization_id: str
    anonymous_id: str | None
    """The random id that everything has now; None where nothing was found."""
    step: str
    """`fencing`, `renaming`, `lifting`, `done`."""
    by: str | None
    documents: dict[str, int]
    """How many were renamed, by collection."""
    started_at: datetime
    finished_at: datetime | None
    waits_for: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionPage:
    """A page of the subscriptions of all users, in the order of their ids."""

    items: list[SubscriptionRecord]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One decision about a user, as the journal keeps it."""

    seq: int
    at: datetime | None
    by: str | None
    """Who asked for it: `key:` and a key's id, `python`, `janitor` …; None: unknown."""
    kind: str
    idempotency_key: str
    change: dict[str, Any] | None
    """What was decided; None where it cannot be read."""
    unreadable: str | None
    answer: dict[str, Any] | None
    """The first answer; None for a refusal."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of a user's journal, newest first."""

    user_id: str
    items: list[HistoryEntry]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ShardReport:
    """One shard."""

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
    holds_open: int
    credits_held: int
    oldest_hold_seconds: float
    holds_expired: int
    heartbeat_age_seconds: float
    stale: bool
    code: str
    refusals: int = 0
    charges: int = 0
    credits_charged: int = 0


@dataclass(frozen=True, slots=True)
class SyncReport:
    """How far RAM is behind what other programs write."""

    lag_seconds: float
    last_event_at: datetime | None
    events_applied: int
    resumes: int
    resyncs: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class ReshardReport:
    """The change of the number of shards that runs, or ran last."""

    shards: int
    shards_before: int
    slots: int
    """How many of the 4,096 had to move when it began."""
    moved: int
    running: bool
    started_at: datetime | None
    elapsed_seconds: float


@dataclass(frozen=True, slots=True)
class Redelivery:
    """An event that is delivered again, and to which endpoints."""

    id: str
    endpoints: list[str]


@dataclass(frozen=True, slots=True)
class ReconciliationProgress:
    """How far a comparison with Stripe has come."""

    running: bool
    kind: str | None
    checked: int
    differed: int


@dataclass(frozen=True, slots=True)
class TestClockReport:
    """What time it is now for the whole service."""

    __test__ = False  # It tests nothing itself.

    now: datetime


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key, without its secret."""

    key_id: str
    name: str
    scope: str
    prefix: str
    """How it begins."""
    user_ids: list[str] | None
    """The users it is for, with those of the prefix; None, and so the next: all."""
    user_id_prefix: str | None
    services: list[str] | None
    """The services it is for; None: all."""
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class MadeKey(KeyRecord):
    """A key that was made just now, with its secret: it is shown this once."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyPage:
    """A page of keys, the oldest first."""

    items: list[KeyRecord]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ActRecord:
    """An administrative act: who asked for it, when, and what became of it."""

    act_id: str
    at: datetime
    by: str
    """`key:` and a key's id, `command:` and a login, or `start`."""
    action: str
    target: str | None
    """The id of what it is about."""
    user_id: str | None
    made: str | None
    """The id of the key, or the endpoint, that it has made."""
    outcome: str
    """`done`, `refused`, `failed` (it may have been done), `asked` (it was interrupted, or goes on)."""


@dataclass(frozen=True, slots=True)
class ActPage:
    """A page of administrative acts, newest first."""

    items: list[ActRecord]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RankedUsers:
    """Users by what they have left, of those in RAM."""

    order: str
    """`least` or `most`."""
    users: int
    """In RAM."""
    looked_at: int
    """Of these: fewer than there are, where a look was not whole in time. It goes on: ask again."""
    as_of: datetime
    """When the look began by which they were chosen. What each has left is as of now."""
    items: list[CreditStatusResponse]


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """A request that was refused; None where credits were not the reason."""

    user_id: str
    seq: int
    at: datetime
    by: str | None
    idempotency_key: str
    reason: str
    """`insufficient_credits`, for example."""
    limit: str | None
    """Which limit refused a charge: `daily`, `subscription`, `credits`."""
    required_credits: int | None
    remaining_credits: int | None
    available_at: datetime | None
    """When it would have passed; None: waiting alone does not help."""


@dataclass(frozen=True, slots=True)
class RefusalPage:
    """A page of refused requests of all users, newest first."""

    items: list[RefusalRecord]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class PriceListRecord:
    """The prices in force, in the order in which they are tried: the first that fits decides."""

    prices: list[PriceRecord]
