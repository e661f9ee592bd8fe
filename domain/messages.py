"""Everything that can be asked of an account, everything that can happen to it, and why not.

Commands are imperatives and carry what the caller said. Changes are past participles and carry
what was decided, facts of the day included, so that replaying them needs no policy and no clock.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from domain.charges import OnInsufficient, Opening, UsageRecorded
from domain.corrections import AdjustCredits, CreditsAdjusted, ReverseUsage, UsageReversed
from domain.eras import Era
from domain.events import Event
from domain.grants import Grant
from domain.holds import (
    ExpireHold,
    HoldFreed,
    HoldPlaced,
    HoldSettled,
    PlaceHold,
    ReleaseHold,
    SettleHold,
)
from domain.pack_messages import AddPack, ExpirePack, PackAdded, PackExpired
from domain.payments import Payment
from domain.stripe import ApplyStripeState, GrantsVoided, StripeStateApplied, VoidGrants
from domain.usage_facts import Tokens, UsageFacts
from domain.values import Credits, Status, UserId

# --- commands -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddCredit:
    """Add a grant of `amount` credits over `days` days from today."""

    user_id: UserId
    amount: Credits
    days: int
    payment: Payment
    timezone: str | None = None
    """Zone of a new subscription; a current one keeps its own."""
    paid_to_stripe: bool = False
    """Then it is added however many grants there are."""

    def __setstate__(self, state: list[object]) -> None:
        """Read what a process of the version before has sent, which knows one field less."""
        for field, value in zip(fields(self), [*state, False], strict=False):
            object.__setattr__(self, field.name, value)


@dataclass(frozen=True, slots=True)
class GrantFromStripe:
    """Add what a line of a paid Stripe invoice stands for, over the days of its period."""

    user_id: UserId
    amount: Credits
    period_start: datetime
    period_end: datetime
    payment: Payment
    stripe_subscription_id: str


@dataclass(frozen=True, slots=True)
class RecordUsage(UsageFacts):
    """Charge credits to today for a service."""

    user_id: UserId
    service_type: str
    credit_amount: Credits | None
    """None: what the tokens cost by the price list."""
    timestamp: datetime | None = None
    on_insufficient: OnInsufficient = OnInsufficient.REJECT
    tokens: Tokens | None = None
    """By kind; `token_count` is there, too."""

    def __setstate__(self, state: list[object]) -> None:
        """Read what a process of the version before has sent, which knows no kinds of tokens."""
        for field, value in zip(fields(self), [*state, None], strict=False):
            object.__setattr__(self, field.name, value)


@dataclass(frozen=True, slots=True)
class OpenDay:
    """Make today's day document, if it is not there yet (`getOrCreateDailyCredits`)."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class ChangeSubscription:
    """Give a subscription, be it a past one, another status, end or time zone, or several."""

    user_id: UserId
    subscription_id: str
    status: Status | None = None
    end_date: datetime | None = None
    """None leaves the end where it is."""
    timezone: str | None = None
    """The date that is open keeps its own."""
    reason: str | None = None
    """As its author gives it: for the history, and for no log."""

    def __setstate__(self, state: list[object]) -> None:
        """Read what a process of the version before has sent, which knows two fields less."""
        for field, value in zip(fields(self), [*state, None, None], strict=False):
            object.__setattr__(self, field.name, value)


@dataclass(frozen=True, slots=True)
class ExpireSubscription:
    """Write down that a subscription has ended, if it has and nobody has written so."""

    user_id: UserId
    subscription_id: str


Command = (
    AddCredit
    | GrantFromStripe
    | RecordUsage
    | OpenDay
    | ChangeSubscription
    | ExpireSubscription
    | ApplyStripeState
    | VoidGrants
    | PlaceHold
    | SettleHold
    | ReleaseHold
    | ExpireHold
    | AddPack
    | ExpirePack
    | ReverseUsage
    | AdjustCredits
)


# --- refusals -----------------------------------------------------------------------------


class Rejection(StrEnum):
    """Why a command changed nothing. Listed in the order they are checked."""

    KEY_REUSED = "idempotency_key_reused"
    NO_SUCH_SUBSCRIPTION = "no_such_subscription"
    END_NOT_AFTER_START = "end_not_after_start"
    TOO_MANY_ZONES = "too_many_zones"
    EXPIRY_NOT_IN_FUTURE = "expiry_not_in_future"
    NO_SUCH_USAGE = "no_such_usage"
    ALREADY_REVERSED = "already_reversed"
    MORE_THAN_CHARGED = "more_than_charged"
    NO_SUCH_PACK = "no_such_pack"
    HOLD_CLOSED = "hold_closed"
    NOT_ENDED = "not_ended"
    NO_SUCH_GRANT = "no_such_grant"
    DUPLICATE_PAYMENT = "duplicate_payment"
    NO_PRICE = "no_price"
    NO_ACTIVE_SUBSCRIPTION = "no_active_subscription"
    TOO_MANY_HOLDS = "too_many_holds"
    AMOUNT_TOO_LARGE = "amount_too_large"
    TOO_MANY_GRANTS = "too_many_grants"
    INSUFFICIENT_CREDITS = "insufficient_credits"


class Limit(StrEnum):
    """Which limit refused a charge: waiting helps against the daily one only."""

    DAILY = "daily"
    SUBSCRIPTION = "subscription"
    CREDITS = "credits"
    """No subscription may spend, and packs have too little."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """How far a charge was from being covered, and when it would be."""

    limit: Limit
    remaining_credits: Credits
    required_credits: Credits
    available_at: datetime | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused command. `shortfall` is there where credits were the reason."""

    reason: Rejection
    shortfall: Shortfall | None = None


# --- changes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreditsAdded:
    """A grant joined the current subscription, or began a new one."""

    grant: Grant
    payment: Payment
    opening: Opening
    start: datetime
    end: datetime
    timezone: str
    created: bool
    """The grant began a new subscription."""
    renewed: bool
    """The user had a subscription before, and the end is later now."""
    made_explicit: tuple[Grant, ...]
    """Implied grants of another program's document, written out so that they keep their days."""
    system_portion_before: Credits
    spendable_before: Credits
    status: Status | None = None
    """The subscription's from then on, where the grant is to be spent though Stripe holds it."""


@dataclass(frozen=True, slots=True)
class DayOpened:
    """A day was touched before anything was charged to it."""

    opening: Opening


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """Nothing changed; the refusal is kept because the caller's key now has its answer."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class SubscriptionChanged:
    """An operator gave a subscription another status, end or time zone, or several."""

    subscription_id: str
    status: Status | None
    end: datetime | None
    made_explicit: tuple[Grant, ...]
    """Where end or zone move: implied grants, written out so that they keep their days."""
    reason: str | None = None
    timezone: str | None = None
    eras: tuple[Era, ...] = ()
    """With a zone: all that the subscription had before, this change included."""


@dataclass(frozen=True, slots=True)
class SubscriptionExpired:
    """A subscription that was current until its end is over."""

    subscription_id: str
    end: datetime


Change = (
    CreditsAdded
    | UsageRecorded
    | DayOpened
    | CommandRefused
    | SubscriptionChanged
    | SubscriptionExpired
    | StripeStateApplied
    | GrantsVoided
    | HoldPlaced
    | HoldSettled
    | HoldFreed
    | PackAdded
    | PackExpired
    | UsageReversed
    | CreditsAdjusted
)


def charge_in(change: Change) -> UsageRecorded | None:
    """Return the charge that a change makes, be it by itself or out of a hold."""
    match change:
        case UsageRecorded():
            return change
        case HoldSettled(usage=usage):
            return usage
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision about one user, as the journal keeps it."""

    user_id: UserId
    seq: int
    at: datetime
    key: str
    fingerprint: str
    change: Change
    answer: str | None
    """The JSON text of the first answer, which is its only answer; None for a refusal."""
    by: str | None = None
    """Who sent the command; None where that is not known."""
    events: tuple[Event, ...] = ()
    """What the world is told of it, in order."""
