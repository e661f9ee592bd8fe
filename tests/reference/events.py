"""The events once more, by their definitions, from the days and subscriptions after each entry.

Shares no code with `domain.event_rules`: it keeps its own books of use, and knows nothing of what
a day remembers. It is asked after every entry, in order.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any


class EventReference:
    """Says which events the entries of one user cause, one after the other."""

    def __init__(self, low_percents: Sequence[int], spike_factor: int) -> None:
        self.low_percents = sorted(low_percents)
        self.spike_factor = spike_factor
        self.used: dict[date, int] = defaultdict(int)
        self.spikes: set[date] = set()
        self.low: dict[tuple[str, date], int | None] = {}
        self.told_at: list[int] = []
        """The percents of the events of low credits, in order."""
        self.subscriptions: dict[str, tuple[Any, ...]] = {}

    def after(self, entry: Any, account: Any, left_before: int, left: int) -> list[str]:
        """Return the types of the events of an entry, from the account after it.

        `left_before`, `left`: what could be spent at the entry's instant, before and after it.
        """
        events = []
        for subscription in account.subscriptions:
            events += self._subscription(subscription, entry.at, account)
        opening = getattr(entry.change, "opening", None)
        if opening is not None:
            events += self._day(entry, opening, account)
            if left_before > 0 >= left:
                events.append("credits.depleted")
        return events

    def _subscription(self, subscription: Any, at: datetime, account: Any) -> list[str]:
        name = subscription.subscription_id
        now = (
            subscription.spendable,
            subscription.system_portion,
            subscription.start,
            subscription.end,
            str(subscription.status),
            subscription.timezone,
        )
        before = self.subscriptions.get(name)
        had_one = bool(self.subscriptions)
        self.subscriptions[name] = now
        if before == now:
            return []
        events = ["subscription.changed"]
        if now[3] > before[3] if before else had_one:
            events.append("subscription.renewed")
        if before and now[4] == "expired" != before[4]:
            events.append("subscription.expired")
        return events

    def _day(self, entry: Any, opening: Any, account: Any) -> list[str]:
        events = []
        amount = getattr(entry.change, "credit_amount", 0)
        (subscription,) = [
            s for s in account.subscriptions if s.subscription_id == opening.subscription_id
        ]
        self.used[opening.date] += amount
        day_credits = opening.daily_credit_limit + opening.rolled_over
        place = (opening.subscription_id, opening.date)
        left = (day_credits - subscription.day.used) * 100
        low = next((p for p in self.low_percents if left <= p * day_credits), None)
        before = self.low.get(place)
        if low is not None and (before is None or low < before):
            events.append("subscription.low_credits")
            self.told_at.append(low)
        self.low[place] = low
        if self._is_spike(opening.date):
            events.append("usage.spike")
            self.spikes.add(opening.date)
        return events

    def _is_spike(self, today: date) -> bool:
        past = [self.used[today - timedelta(days=back)] for back in range(1, 31)]
        past = [used for used in past if used > 0]
        if today in self.spikes or len(past) < 3 or self.used[today] <= 0:
            return False
        return self.used[today] >= self.spike_factor * sum(past) / len(past)
