"""The open holds of resident accounts: how many, of how many credits, and when each is over."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime

from actors.runtime.counters import Counters
from domain.account import Account
from domain.holds import Hold
from domain.values import UserId

CLOSED_MAX = 10_000  # Holds remembered that are closed already.

Due = tuple[datetime, str, UserId]
"""When a hold is over, its id, and whose it is."""


class KnownHolds:
    """What is known of the holds of the accounts in RAM."""

    def __init__(self, counters: Counters, now: Callable[[], datetime]) -> None:
        self._counters = counters
        self._now = now
        self._by_user: dict[UserId, dict[str, tuple[datetime, Hold]]] = {}
        self.due: list[Due] = []
        """A heap: the first to be over comes first. Those of accounts forgotten stay in it."""
        self.changed = asyncio.Event()
        """Set when there is something new to wait for."""

    def note(self, account: Account) -> None:
        """Take up the holds of an account as it is now in RAM."""
        user_id, found = account.user_id, account.holds()
        known = self._by_user.get(user_id)
        if not found and known is None:  # Most accounts, most of the time.
            return
        self.forget(user_id)
        if not found:
            return
        now = self._now()
        holds = {one.hold.hold_id: (one.over_at(now), one.hold) for one in found}
        self._by_user[user_id] = holds
        self._counters.holds_open += len(holds)
        self._counters.credits_held += sum(hold.credit_amount for _, hold in holds.values())
        for hold_id, (due, _) in holds.items():
            if known is None or hold_id not in known or known[hold_id][0] != due:
                heapq.heappush(self.due, (due, hold_id, user_id))
        if len(self.due) > 2 * self._counters.holds_open + CLOSED_MAX:
            self._let_go_of_closed()
        self.changed.set()

    def _let_go_of_closed(self) -> None:
        """Keep the open holds of resident accounts only: most are settled long before."""
        self.due = [
            (due, hold_id, user_id)
            for user_id, holds in self._by_user.items()
            for hold_id, (due, _) in holds.items()
        ]
        heapq.heapify(self.due)

    def forget(self, user_id: UserId) -> None:
        """Count the holds of an account no longer. When they are over is not forgotten."""
        known = self._by_user.pop(user_id, {})
        self._counters.holds_open -= len(known)
        self._counters.credits_held -= sum(hold.credit_amount for _, hold in known.values())

    def let_go(self, user_id: UserId) -> None:
        """Forget when the holds of a user are over, too: they are another's now."""
        self.forget(user_id)
        self.due = [due for due in self.due if due[2] != user_id]
        heapq.heapify(self.due)

    def forget_all(self) -> None:
        """Count nothing until accounts are read again."""
        self._by_user = {}
        self._counters.holds_open = self._counters.credits_held = 0

    def measure(self) -> None:
        """Bring the age of the oldest hold up to date."""
        made = [h.made_at for holds in self._by_user.values() for _, h in holds.values()]
        age = (self._now() - min(made)).total_seconds() if made else 0.0
        self._counters.oldest_hold_seconds = max(age, 0.0)
