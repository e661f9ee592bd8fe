"""Holds: credits set aside before their cost is known; what is asked of them, what happens.

A hold counts against the day it is made on, and against packs where the day has too little, until
it is settled, released, or over: over is what has come to its `expires_at`; a day's share is, too,
once its subscription is no longer current. Over is a matter of the clock alone. That it is written
down later changes documents and no answer. One that has expired can still be settled for a while.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64Error
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime

from domain.charges import OnInsufficient, Opening, UsageRecorded
from domain.copies import replace
from domain.sources import PackShare, total_of
from domain.usage_facts import Tokens, UsageFacts
from domain.values import Credits, UserId, derive_object_id, is_object_id, parse_user_id

HOLD_SECONDS_DEFAULT = 300
HOLD_SECONDS_MAX = 86_400
HOLD_ID_LENGTH_MAX = 24 + 1 + 4 * (128 * 4 + 2) // 3 + 1 + 8  # 128 characters of 4 bytes each.
SERVICE_MARK_LENGTH = 6  # Hex digits of a hold's id that show its service.


@dataclass(frozen=True, slots=True)
class Hold(UsageFacts):
    """Credits set aside by one source or all, and what the usage record will say of the charge."""

    hold_id: str
    date: date
    """The day on which it was made."""
    credit_amount: Credits
    expires_at: datetime
    service_type: str
    timestamp: datetime
    """As the caller told it, else when the hold was made: months add up as days do."""
    total: Credits | None = None
    """Of all sources; None: the only one has it all."""

    @property
    def made_at(self) -> datetime:
        """The second in which the hold was made, as its id tells."""
        return datetime.fromtimestamp(int(self.hold_id[:8], 16), UTC)


@dataclass(frozen=True, slots=True)
class LapsedHold:
    """A hold that has expired, and until when it can be settled all the same."""

    hold: Hold
    until: datetime
    is_closed: bool = False
    """It was settled late, or was resolved without a source that may still hold its share, as that
    could not be read: nothing more is charged for it."""


# --- ids ----------------------------------------------------------------------------------


def make_hold_id(at: datetime, user_id: UserId, key: str, service_type: str) -> str:
    """Return the id of the hold that the command with this key makes.

    It names its user, and shows its service to those who know that.
    """
    head = derive_object_id(at, "hold", user_id, key)[:-SERVICE_MARK_LENGTH]
    return _hold_id(head + _service_mark(head, service_type), user_id)


def is_hold_for(hold_id: str, service_type: str) -> bool:
    """Say whether an id is that of a hold for this service. Ids of older versions show none.

    One of 16 million ids of others is taken for it.
    """
    head = hold_id.partition(".")[0]
    start = head[:-SERVICE_MARK_LENGTH]
    return head == start + _service_mark(start, service_type)


def rename_hold_id(hold_id: str, user_id: UserId) -> str:
    """Return the id of a hold that becomes another user's."""
    return _hold_id(hold_id.partition(".")[0], user_id)


def _hold_id(head: str, user_id: UserId) -> str:
    name = urlsafe_b64encode(user_id.encode()).decode().rstrip("=")
    return f"{head}.{name}.{_check(head, user_id)}"


def holder_of(hold_id: str) -> UserId | None:
    """Return whose hold an id of ours names; None: no hold has ever had this id."""
    head, _, rest = hold_id.partition(".")
    name, _, check = rest.partition(".")
    try:
        user_id = parse_user_id(urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode())
    except (NotBase64Error, ValueError):
        return None
    is_ours = is_object_id(head) and head == head.lower() and check == _check(head, user_id)
    return user_id if is_ours else None


def _service_mark(start: str, service_type: str) -> str:
    size = SERVICE_MARK_LENGTH // 2
    return hashlib.blake2b(f"{start} {service_type}".encode(), digest_size=size).hexdigest()


def _check(head: str, user_id: UserId) -> str:
    return hashlib.blake2b(f"hold {head} {user_id}".encode(), digest_size=4).hexdigest()


# --- commands -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlaceHold(UsageFacts):
    """Set credits aside for a service: of today, then of packs."""

    user_id: UserId
    service_type: str
    credit_amount: Credits
    expires_in: int = HOLD_SECONDS_DEFAULT
    """Seconds."""
    timestamp: datetime | None = None
    on_insufficient: OnInsufficient = OnInsufficient.REJECT
    at_least: Credits | None = None
    """Where less than `credit_amount` is there, so much is enough."""


@dataclass(frozen=True, slots=True)
class SettleHold(UsageFacts):
    """Turn a hold into a charge to its own sources. What is None stays as the hold said it."""

    user_id: UserId
    hold_id: str
    credit_amount: Credits | None
    """None: what the tokens cost by the price list."""
    on_insufficient: OnInsufficient = OnInsufficient.CAP
    """What of a cost beyond the hold is charged: work that was done is never charged nothing."""
    tokens: Tokens | None = None
    """By kind; `token_count` is there, too."""

    def __setstate__(self, state: list[object]) -> None:
        """Read what a process of the version before has sent, which knows no kinds of tokens."""
        for field, value in zip(fields(self), [*state, None], strict=False):
            object.__setattr__(self, field.name, value)


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Give back what a hold has set aside."""

    user_id: UserId
    hold_id: str
    reason: str | None = None
    """As its author gives it: for the history, and for no log."""

    def __setstate__(self, state: list[object]) -> None:
        """Read what a process of the version before has sent, which knows no reason."""
        for field, value in zip(fields(self), [*state, None], strict=False):
            object.__setattr__(self, field.name, value)


@dataclass(frozen=True, slots=True)
class ExpireHold:
    """Write down that a hold is over, if it is and nobody has written so."""

    user_id: UserId
    hold_id: str
    subscription_id: str | None = None
    """Named where the subscription may be one that accounts no longer hold."""


# --- changes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HoldPlaced:
    """Credits were set aside: of a day first, then of packs."""

    hold: Hold
    """`credit_amount` is that of all sources."""
    opening: Opening | None
    """The day of the current subscription; None: there was none, and packs gave all."""
    packs: tuple[PackShare, ...] = ()

    @property
    def of_day(self) -> Hold | None:
        """The share that the day's document has; None: the day gave nothing."""
        amount = Credits(self.hold.credit_amount - total_of(self.packs))
        if self.opening is None or (self.packs and not amount):
            return None
        return self._share(amount)

    def of_packs(self) -> Iterator[tuple[str, Hold]]:
        """Yield (pack id, the share that its document has)."""
        for share in self.packs:
            yield share.pack_id, self._share(share.credit_amount)

    def _share(self, amount: Credits) -> Hold:
        if amount == self.hold.credit_amount:
            return self.hold
        return replace(self.hold, credit_amount=amount, total=self.hold.credit_amount)


@dataclass(frozen=True, slots=True)
class HoldSettled:
    """A hold became a charge to its own sources, and to others where it cost more."""

    hold_id: str
    usage: UsageRecorded
    """Its opening is the hold's own day; today where no day holds credits of it."""
    reopened: tuple[Opening, ...]
    """Later days that were touched before: what they inherit now."""
    credits_used: Credits
    """Of the opened day, after the charge."""
    credits_held: Credits
    freed_packs: tuple[str, ...] = ()
    """The packs that held credits of it."""
    lapsed: LapsedHold | None = None
    """The hold, closed, where a source of it was over before or not read; None: all were there."""


@dataclass(frozen=True, slots=True)
class HoldFreed:
    """What a hold had set aside was given back: all of it, or the shares that are over."""

    hold_id: str
    credit_amount: Credits
    opening: Opening | None
    """The hold's own day; None: no day holds credits of it."""
    reopened: tuple[Opening, ...]
    expired: bool
    """By the clock, not by its caller."""
    packs: tuple[PackShare, ...] = ()
    """What packs got back."""
    lapsed: LapsedHold | None = None
    """The hold as it can still be settled, or closed where a source of it could not be read."""
    reason: str | None = None
    """Why it was released."""
