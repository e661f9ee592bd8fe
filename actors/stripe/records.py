"""What is kept of Stripe: events as they came, and one record a subscription or one-off payment.

A record is saved before anything is told to a shard, and what is told is made of the record
alone: whoever goes on after a crash tells the same under the same keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.stripe import Instant, StripeLink
from domain.values import UserId


class EventState(StrEnum):
    """What became of an event."""

    RECEIVED = "received"
    APPLIED = "applied"
    FAILED = "failed"
    """A dead letter: it is tried again only when it is delivered again."""


class Urgency(StrEnum):
    """How soon an event is taken up: fresh ones go before all others."""

    FRESH = "fresh"
    """It was delivered, or somebody has asked for it."""
    FOUND = "found"
    """A comparison has found it."""
    PARKED = "parked"
    """It was tried, and its user is not known yet."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many events are not applied: by their urgency, and dead letters."""

    fresh: int
    found: int
    parked: int
    dead: int


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """One event as it was delivered, and how far it is."""

    event_id: str
    type: str
    created: int
    """Seconds since 1970, by Stripe's clock."""
    livemode: bool
    subject: str
    """The Stripe object that it is applied to: events of one subject are applied together."""
    customer_id: str | None
    body: str
    """The JSON text, unchanged."""
    received_at: datetime
    state: EventState = EventState.RECEIVED
    attempts: int = 0
    urgency: Urgency = Urgency.FRESH
    last_error: str | None = None

    @property
    def parked(self) -> bool:
        """Whether it was tried and its user is not known yet."""
        return self.urgency is Urgency.PARKED


@dataclass(frozen=True, slots=True)
class Grantable:
    """What one line of a payment stands for: a period, credits over some days, or else a pack."""

    transaction_id: str
    credits: int
    amount: int
    currency: str
    period_start: Instant | None = None
    period_end: Instant | None = None
    days: int | None = None
    """Of what was sold once, to be given over days."""
    expires_at: Instant | None = None
    """Of a pack; None: never."""
    priority: int | None = None
    """Of a pack; None: the usual one."""


@dataclass(frozen=True, slots=True)
class StripeRecord:
    """What is known of one Stripe subscription, or of one checkout that was paid once."""

    subject: str
    revision: int = 0
    stamp: int = -1
    """When what it says was true, by Stripe's clock: older events change nothing."""
    asked: bool = False
    """Stripe was asked, rather than told: `stamp` is by our own clock."""
    event_id: str = ""
    state: StripeLink | None = None
    metadata_user: str | None = None
    reference_user: str | None = None
    customer_id: str | None = None
    user_id: UserId | None = None
    """Whose it is, once anything was told to a shard: later events go the same way."""
    payments: Mapping[str, tuple[Grantable, ...]] = field(default_factory=dict)
    given_back: int = 0
    """Credits of corrected periods that stayed though their money went back: upgrades give less."""
    owed: tuple[str, ...] = ()
    """Payments from before the user was known: no event brings them, and no shard has confirmed them."""
    refunds: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of a payment: what is kept, and of how much."""
    returned: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of a payment: the money that has gone back, by charge."""
    shared_at: Mapping[str, int] = field(default_factory=dict)
    """Of a payment: the revision in which what is kept has last changed."""
    anonymous: bool = False
    """Its user is nobody any more: whom Stripe names is not taken up again."""


@dataclass(frozen=True, slots=True)
class ReconcilePlace:
    """How far a reconciliation has come: it goes on here after a failure."""

    kind: str
    after: str | None
    checked: int
    differed: int
    began_at: datetime


class StripeStore(Protocol):
    """The ledger of events, and the records. Every call blocks; may raise StorageUnavailableError.

    An event that is kept is durable. Nothing else here is told to Stripe.
    """

    def keep(self, event: StripeEvent) -> bool:
        """Keep an event. False: it was there. One that was not applied is tried again at once."""

    def due(self, now: datetime, limit: int, *, fresh: bool, newest: bool = False) -> list[str]:
        """Return subjects of some events to be tried by now, those that waited longest first.

        `fresh`: of the urgency of that name, else of the two others. `newest`: the last come first.
        """

    def pending(self, subject: str) -> list[StripeEvent]:
        """Return all events of a subject that are to be applied, by their time."""

    def applied(self, event_ids: Sequence[str], at: datetime, outcome: str) -> None:
        """Note that events are applied."""

    def postpone(
        self, event_ids: Sequence[str], until: datetime, error: str, *, parked: bool = False
    ) -> None:
        """Note that events were tried, and when to try them again."""

    def rest(self, event_ids: Sequence[str], until: datetime) -> None:
        """Note when to try events, without counting an attempt."""

    def fail(self, event_ids: Sequence[str], error: str) -> None:
        """Note that events cannot be applied."""

    def wake(self, customer_id: str, now: datetime) -> None:
        """Have the parked events of a customer tried again, as fresh ones, dead letters too."""

    def record(self, subject: str) -> StripeRecord | None:
        """Return what is known of a subject."""

    def save(self, record: StripeRecord) -> bool:
        """Put a record in the place of its predecessor. False: somebody else was faster."""

    def note_listed(self, subjects: Sequence[str], at: datetime) -> None:
        """Note that Stripe has these subjects, of which there may be records."""

    def unlisted(self, since: datetime, after: str, limit: int) -> list[str]:
        """Return the next subjects in order that live, and were not listed at or after `since`."""

    def user_of_customer(self, customer_id: str) -> UserId | None:
        """Return the user of a subscription that names this Stripe customer."""

    def ownerless(self, customer_id: str) -> list[str]:
        """Return the subjects of a Stripe customer's records that name no user, or owe payments."""

    def living(self, user_id: UserId) -> list[StripeRecord]:
        """Return a user's records whose Stripe subscriptions have not ended."""

    def waiting(self) -> Waiting:
        """Count what is not applied."""

    def unapplied(self, limit: int) -> list[StripeEvent]:
        """Return dead letters first, then parked and waiting events, without their bodies."""

    def known_events(self, event_ids: Sequence[str]) -> set[str]:
        """Return which of these events are kept already and are no dead letters."""

    def trim(self, before: datetime) -> int:
        """Remove events received before an instant, and count them.

        Those that were applied, and dead letters whose user nobody has named.
        """

    def place(self) -> ReconcilePlace | None:
        """Return how far the reconciliation that is under way has come."""

    def note_place(self, place: ReconcilePlace | None) -> None:
        """Note how far it has come; None: to the end."""
