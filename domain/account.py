"""The account: what one decision about one user reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.charges import Charge
from domain.copies import replace
from domain.holds import Hold, LapsedHold
from domain.packs import PACKS_MAX, Pack, in_order
from domain.recent_use import NO_USE, RecentUse
from domain.sources import PackShare
from domain.subscription import Subscription
from domain.values import CREDITS_MAX, NO_CREDITS, Credits, UserId


@dataclass(frozen=True, slots=True)
class Extra:
    """What most accounts have nothing of."""

    packs: tuple[Pack, ...] = ()
    """In the order in which they are spent."""

    charges: tuple[Charge, ...] = ()
    """Recalled for a reversal: accounts let charges go."""

    lapsed_holds: tuple[LapsedHold, ...] = ()
    """Recalled for a late settlement: accounts let holds go that have expired."""


NOTHING_MORE = Extra()


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold that nothing resolved, with all that it has set aside, by source."""

    hold: Hold
    """`credit_amount` is that of all sources."""
    subscription: Subscription | None
    """Whose day has set credits aside; None: packs alone have."""
    packs: tuple[PackShare, ...] = ()
    """In the order in which they were taken."""

    @property
    def day_amount(self) -> Credits:
        if not self.packs:
            return self.hold.credit_amount if self.subscription is not None else NO_CREDITS
        return Credits(self.hold.credit_amount - sum(share.credit_amount for share in self.packs))

    @property
    def is_whole(self) -> bool:
        """Say whether all its sources are here: one that cannot be read, or was deleted, is not."""
        return self.hold.total is None or self.hold.total == self.hold.credit_amount

    def over_at(self, now: datetime) -> datetime:
        """Return when the first of its shares is over: a day's ends with the subscription."""
        subscription, expires_at = self.subscription, self.hold.expires_at
        if subscription is None:
            return expires_at
        if not subscription.is_current(now):
            return min(expires_at, now)
        return min(expires_at, subscription.end)


@dataclass(frozen=True, slots=True)
class Account:
    """One user's subscriptions and packs that still matter, and the number of the last decision.

    A user whom no document names has an account like any other: an empty one.
    """

    user_id: UserId
    seq: int = 0
    """Number of the newest journal entry the account contains; entries count from 1."""

    subscriptions: tuple[Subscription, ...] = ()
    """In order of start: the most recent past one, the current one, those still to come."""

    past_transactions: frozenset[str] = frozenset()
    """Payments of subscriptions that are no longer held here."""

    recent_use: RecentUse = NO_USE
    """What was used on the last days, those aside that subscriptions hold as their newest."""

    extra: Extra | None = None

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The packs that matter still, in the order in which they are spent."""
        return () if self.extra is None else self.extra.packs

    def current(self, now: datetime) -> Subscription | None:
        """Return the current subscription. Of several, the one that started last decides."""
        for subscription in reversed(self.subscriptions):
            if subscription.is_current(now):
                return subscription
        return None

    def shown(self, now: datetime) -> Subscription | None:
        """Return what a status speaks of: the current subscription, else the most recent one."""
        current = self.current(now)
        if current is not None:
            return current
        started = [s for s in self.subscriptions if s.start <= now]
        return started[-1] if started else None

    def has_payment(self, transaction_id: str) -> bool:
        """Say whether a grant or pack of this user was already paid by this transaction."""
        return (
            transaction_id in self.past_transactions
            or any(
                grant.transaction_id == transaction_id
                for subscription in self.subscriptions
                for grant in subscription.grants
            )
            or any(pack.transaction_id == transaction_id for pack in self.packs)
        )

    def find(self, subscription_id: str) -> Subscription | None:
        """Return one of the subscriptions held here."""
        for subscription in self.subscriptions:
            if subscription.subscription_id == subscription_id:
                return subscription
        return None

    def as_of(self, now: datetime, cap: Credits | None) -> "Account":
        """Return the account without the shares of holds that are over."""
        account = self
        if self.extra is not None and any(pack.holds for pack in self.packs):
            account = self.with_packs(pack.as_of(now) for pack in self.packs)
        for subscription in self.subscriptions:
            if (known := subscription.as_of(now, cap)) is not subscription:
                account = account.with_subscription(known)
        return account

    def holds(self) -> list[OpenHold]:
        """Return all holds that nothing resolved, in no order."""
        if self.extra is None:
            return [OpenHold(hold, s) for s in self.subscriptions for hold in s.holds]
        shares: dict[str, list[PackShare]] = {}
        facts: dict[str, Hold] = {}
        for pack in self.packs:
            for hold in pack.holds:
                facts[hold.hold_id] = hold
                share = PackShare(pack.pack_id, hold.credit_amount)
                shares.setdefault(hold.hold_id, []).append(share)
        found: list[OpenHold] = []
        for subscription in self.subscriptions:
            for hold in subscription.holds:
                of_packs = shares.pop(hold.hold_id, ())
                found.append(_open_hold(hold, subscription, hold.credit_amount, of_packs))
        found += [_open_hold(facts[name], None, Credits(0), shares[name]) for name in shares]
        return found

    @property
    def holds_open(self) -> int:
        """How many holds nothing resolved."""
        if self.extra is None:
            return sum(len(subscription.holds) for subscription in self.subscriptions)
        return len(self.holds())

    def find_hold(self, hold_id: str) -> OpenHold | None:
        """Return a hold that nothing resolved."""
        if self.extra is None:
            for subscription in self.subscriptions:
                for hold in subscription.holds:
                    if hold.hold_id == hold_id:
                        return OpenHold(hold, subscription)
            return None
        return next((one for one in self.holds() if one.hold.hold_id == hold_id), None)

    def find_pack(self, pack_id: str) -> Pack | None:
        """Return one of the packs held here."""
        return next((pack for pack in self.packs if pack.pack_id == pack_id), None)

    def find_charge(self, usage_id: str) -> Charge | None:
        """Return a charge that was recalled."""
        charges = () if self.extra is None else self.extra.charges
        return next((charge for charge in charges if charge.usage_id == usage_id), None)

    def find_lapsed_hold(self, hold_id: str) -> LapsedHold | None:
        """Return an expired hold that was recalled."""
        lapsed = () if self.extra is None else self.extra.lapsed_holds
        return next((one for one in lapsed if one.hold.hold_id == hold_id), None)

    def has_room_for(self, amount: Credits, *, though_full: bool = False) -> bool:
        """Say whether one more pack of an amount may join; `though_full`: be it one too many.

        Packs count that matter: which others are known is a matter of what RAM let go.
        """
        packs = [pack for pack in self.packs if pack.matters]
        is_small = sum(pack.spendable for pack in packs) + amount <= CREDITS_MAX
        return is_small and (though_full or len(packs) < PACKS_MAX)

    def with_subscription(self, changed: Subscription) -> "Account":
        """Return the account with one subscription put in the place of its older self."""
        return replace(
            self,
            subscriptions=tuple(
                changed if s.subscription_id == changed.subscription_id else s
                for s in self.subscriptions
            ),
        )

    def with_packs(self, packs: Iterable[Pack]) -> "Account":
        """Return the account with these packs, and no others."""
        return self.with_extra(replace(self.extra or NOTHING_MORE, packs=in_order(packs)))

    def with_pack(self, changed: Pack) -> "Account":
        """Return the account with a pack that is new, or in the place of its older self."""
        others = (pack for pack in self.packs if pack.pack_id != changed.pack_id)
        return self.with_packs((*others, changed))

    def with_extra(self, extra: Extra) -> "Account":
        """Return the account with what most have nothing of."""
        return replace(self, extra=None if extra == NOTHING_MORE else extra)


def _open_hold(
    hold: Hold, subscription: Subscription | None, of_day: Credits, of_packs: Iterable[PackShare]
) -> OpenHold:
    packs = tuple(of_packs)
    whole = Credits(of_day + sum(share.credit_amount for share in packs))
    return OpenHold(replace(hold, credit_amount=whole), subscription, packs)
