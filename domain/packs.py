"""Packs: credits that are not spread over days, in which order they are spent, what lapses of them.

A pack belongs to a user and outlives every subscription. Any part of it may be spent on any day
until `expires_at`. Source: contract, section 8.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from domain.copies import replace
from domain.holds import Hold
from domain.sources import PackShare
from domain.values import NO_CREDITS, Credits

PACKS_MAX = 1_000
"""Packs with something in them that callers may add to one account.
What Stripe was paid for is always added."""

PRIORITY_DEFAULT = 50
PRIORITY_MAX = 100
_NEVER = datetime.max.replace(tzinfo=UTC)


class Category(StrEnum):
    """Why a pack was given. Of packs that are alike otherwise, in this order they are spent."""

    PROMOTIONAL = "promotional"
    ADJUSTMENT = "adjustment"
    PAID = "paid"


_RANK = {category: rank for rank, category in enumerate(Category)}


@dataclass(frozen=True, slots=True)
class Pack:
    """Credits of a user that any day may spend."""

    pack_id: str
    spendable: Credits
    """What it gives in all; what was taken back of it is not in here."""
    priority: int
    category: Category
    created_at: datetime
    expires_at: datetime | None
    """None: never."""
    used: Credits = NO_CREDITS
    holds: tuple[Hold, ...] = ()
    """This pack's shares of holds that nothing resolved, by expiry; some may be over."""
    transaction_id: str | None = None
    expired_at: datetime | None = None
    """The `expires_at` whose coming is written down."""
    refunded: Credits = NO_CREDITS
    """What refunds of its payment have taken back."""
    taken_back: Credits = NO_CREDITS
    """What adjustments have taken back."""
    share_version: int = 0
    """Counts what was told of the share that refunds leave: what is older changes nothing."""

    @property
    def granted(self) -> Credits:
        """What it was to give when it was added."""
        return Credits(self.spendable + self.refunded + self.taken_back)

    def refunded_by(self, kept: int, parts: int) -> Credits:
        """Return what refunds have taken back in all where they leave `kept` of `parts`.

        More than before only as far as it is left: what is used or held is never taken.
        """
        share = self.granted - self.granted * min(kept, parts) // parts
        return Credits(min(share, self.refunded + self.left))

    @property
    def order(self) -> tuple[int, datetime, int, datetime, str]:
        """What is spent first sorts first."""
        return (
            self.priority,
            self.expires_at or _NEVER,
            _RANK[self.category],
            self.created_at,
            self.pack_id,
        )

    @property
    def held(self) -> Credits:
        return Credits(sum(hold.credit_amount for hold in self.holds))

    @property
    def left(self) -> Credits:
        """What nothing has used or set aside; it lapses where the pack has expired.

        Another program may have lowered `spendable` below that: no other source pays for it.
        """
        return Credits(max(self.spendable - self.used - self.held, 0))

    def is_live(self, now: datetime) -> bool:
        """Say whether what is left may be spent.

        Once its coming is written down an expiry stays, should the clock go back.
        """
        if self.expires_at is None:
            return True
        return now < self.expires_at and not self.is_expiry_written

    @property
    def is_expiry_written(self) -> bool:
        return self.expires_at is not None and self.expired_at == self.expires_at

    def as_of(self, now: datetime) -> "Pack":
        """Return the pack without the shares of holds that are over."""
        holds = tuple(hold for hold in self.holds if now < hold.expires_at)
        return self if len(holds) == len(self.holds) else replace(self, holds=holds)

    def with_hold(self, hold: Hold) -> "Pack":
        others = (other for other in self.holds if other.hold_id != hold.hold_id)
        in_order = sorted((*others, hold), key=lambda one: (one.expires_at, one.hold_id))
        return replace(self, holds=tuple(in_order))

    def without_hold(self, hold_id: str) -> "Pack":
        holds = tuple(hold for hold in self.holds if hold.hold_id != hold_id)
        return self if len(holds) == len(self.holds) else replace(self, holds=holds)

    @property
    def matters(self) -> bool:
        """Say whether anything can still happen to it by itself: a charge, a hold, its expiry."""
        return bool(self.holds) or (self.left > 0 and not self.is_expiry_written)


def in_order(packs: Iterable[Pack]) -> tuple[Pack, ...]:
    """Return packs in the order in which they are spent."""
    return tuple(sorted(packs, key=lambda pack: pack.order))


def credits_in(packs: Iterable[Pack], now: datetime) -> Credits:
    """Return what live packs have left together."""
    return Credits(sum(pack.left for pack in packs if pack.is_live(now)))


def given_by(packs: Iterable[Pack], now: datetime) -> Credits:
    """Return what live packs have given in all, used or not."""
    return Credits(sum(pack.spendable for pack in packs if pack.is_live(now)))


def take_from(
    packs: Iterable[Pack], amount: Credits, now: datetime
) -> tuple[tuple[PackShare, ...], Credits]:
    """Return (what packs, in order, give of an amount, what none of them gives)."""
    shares: list[PackShare] = []
    for pack in packs:
        if amount <= 0:
            break
        share = Credits(min(pack.left, amount))
        if share > 0 and pack.is_live(now):
            shares.append(PackShare(pack.pack_id, share))
            amount = Credits(amount - share)
    return tuple(shares), amount
