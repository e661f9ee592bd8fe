"""The account: what one decision about one user reads."""

from dataclasses import dataclass, replace
from datetime import datetime

from domain.holds import Hold
from domain.recent_use import NO_USE, RecentUse
from domain.subscription import Subscription
from domain.values import Credits, UserId


@dataclass(frozen=True, slots=True)
class Account:
    """One user's subscriptions that still matter, and the number of the last decision.

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
        """Say whether a grant of this user was already paid by this transaction."""
        return transaction_id in self.past_transactions or any(
            grant.transaction_id == transaction_id
            for subscription in self.subscriptions
            for grant in subscription.grants
        )

    def find(self, subscription_id: str) -> Subscription | None:
        """Return one of the subscriptions held here."""
        for subscription in self.subscriptions:
            if subscription.subscription_id == subscription_id:
                return subscription
        return None

    def as_of(self, now: datetime, cap: Credits | None) -> "Account":
        """Return the account without the holds that are over."""
        if not any(subscription.holds for subscription in self.subscriptions):
            return self
        return replace(self, subscriptions=tuple(s.as_of(now, cap) for s in self.subscriptions))

    def holds(self) -> list[tuple[Subscription, Hold]]:
        """Return all holds that nothing resolved, each with its subscription."""
        return [(s, hold) for s in self.subscriptions for hold in s.holds]

    def find_hold(self, hold_id: str) -> tuple[Subscription, Hold] | None:
        """Return a hold that nothing resolved, and its subscription."""
        return next((pair for pair in self.holds() if pair[1].hold_id == hold_id), None)

    def with_subscription(self, changed: Subscription) -> "Account":
        """Return the account with one subscription put in the place of its older self."""
        return replace(
            self,
            subscriptions=tuple(
                changed if s.subscription_id == changed.subscription_id else s
                for s in self.subscriptions
            ),
        )
