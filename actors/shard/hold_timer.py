"""Writes down which holds are over, as soon as they are: no request is needed for it.

What is over is free by the clock alone; this brings journal and documents up to it. Only holds of
resident accounts are known here. After a restart the janitor finds the others in their documents.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from actors.protocol.calls import OVERLOADED, Call, Outcome
from actors.protocol.expiry import expire_call
from actors.runtime.counters import Counters
from actors.shard.inbox import Inbox
from domain.account import Account
from domain.holds import ExpireHold, Hold
from domain.values import UserId

LOOK_SECONDS_MAX = 1.0  # The clock may be set: it is looked at so often while holds are open.
CLOSED_MAX = 10_000  # Holds remembered that are closed already.
RETRY_SECONDS = 1.0  # Pause before a hold is asked about again, be it that it is still there.
EXPIRIES_AT_ONCE = 500  # They share a batch with calls, which wait as long as it takes.


class Resident(Protocol):
    """The shard, as it is seen from here."""

    def now(self) -> datetime:
        """Return the shard's instant."""

    @property
    def accounts(self) -> Mapping[UserId, Account]:
        """What is in RAM."""

    def owns(self, user_id: UserId) -> bool:
        """Whether the shard answers for the user."""


class HoldExpiry:
    """Knows when the holds of resident accounts are over."""

    def __init__(self, shard: Resident, inbox: Inbox, counters: Counters) -> None:
        self._shard = shard
        self._inbox = inbox
        self._counters = counters
        self._by_user: dict[UserId, dict[str, tuple[datetime, Hold]]] = {}
        self._due: list[tuple[datetime, str, UserId]] = []
        self._not_before: dict[str, datetime] = {}
        """Holds asked about just now. An account read anew may still have them: its document does."""
        self._arrived = asyncio.Event()

    def note(self, account: Account) -> None:
        """Take up the holds of an account as it is now in RAM."""
        user_id, found = account.user_id, account.holds()
        known = self._by_user.get(user_id)
        if not found and known is None:  # Most accounts, most of the time.
            return
        self.forget(user_id)
        if not found:
            return
        now = self._shard.now()
        holds = {one.hold.hold_id: (one.over_at(now), one.hold) for one in found}
        self._by_user[user_id] = holds
        self._counters.holds_open += len(holds)
        self._counters.credits_held += sum(hold.credit_amount for _, hold in holds.values())
        for hold_id, (due, _) in holds.items():
            if known is None or hold_id not in known or known[hold_id][0] != due:
                heapq.heappush(self._due, (due, hold_id, user_id))
        if len(self._due) > 2 * self._counters.holds_open + CLOSED_MAX:
            self._let_go_of_closed()
        self._arrived.set()

    def _let_go_of_closed(self) -> None:
        """Keep the open holds of resident accounts only: most are settled long before."""
        self._due = [
            (due, hold_id, user_id)
            for user_id, holds in self._by_user.items()
            for hold_id, (due, _) in holds.items()
        ]
        heapq.heapify(self._due)

    def forget(self, user_id: UserId) -> None:
        """Count the holds of an account no longer. When they are over is not forgotten."""
        known = self._by_user.pop(user_id, {})
        self._counters.holds_open -= len(known)
        self._counters.credits_held -= sum(hold.credit_amount for _, hold in known.values())

    def let_go(self, user_id: UserId) -> None:
        """Forget when the holds of a user are over, too: they are another's now."""
        self.forget(user_id)
        self._due = [due for due in self._due if due[2] != user_id]
        heapq.heapify(self._due)

    def forget_all(self) -> None:
        """Count nothing until accounts are read again."""
        self._by_user = {}
        self._counters.holds_open = self._counters.credits_held = 0

    def measure(self) -> None:
        """Bring the age of the oldest hold up to date."""
        made = [h.made_at for holds in self._by_user.values() for _, h in holds.values()]
        age = (self._shard.now() - min(made)).total_seconds() if made else 0.0
        self._counters.oldest_hold_seconds = max(age, 0.0)

    def look(self) -> None:
        """Look at the clock now."""
        self._arrived.set()

    async def run(self) -> None:
        """Expire for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds()):
                    await self._arrived.wait()
            self._arrived.clear()
            self._let_go_of_asked()
            while calls := self._take_due():
                await self._expire(calls)

    def _seconds(self) -> float | None:
        """Return how long to wait: until the next is over, or for the next hold."""
        if not self._due:
            return None
        seconds = (self._due[0][0] - self._shard.now()).total_seconds()
        return min(max(seconds, 0.0), LOOK_SECONDS_MAX)

    def _take_due(self) -> list[Call]:
        """Return the calls for holds that are over, but for those resolved already."""
        calls: list[Call] = []
        later: set[tuple[datetime, str, UserId]] = set()
        now = self._shard.now()
        while self._due and self._due[0][0] <= now and len(calls) < EXPIRIES_AT_ONCE:
            _, hold_id, user_id = heapq.heappop(self._due)
            if not self._shard.owns(user_id):  # The user has moved: so has the hold.
                continue
            account = self._shard.accounts.get(user_id)
            found = None if account is None else account.find_hold(hold_id)
            if account is not None and found is None:
                continue
            # Of one who is not in RAM nothing is known: it is read for it.
            if (not_before := self._not_before.get(hold_id, now)) > now:
                later.add((not_before, hold_id, user_id))
                continue
            self._not_before[hold_id] = now + timedelta(seconds=RETRY_SECONDS)
            of_packs = found is not None and found.subscription is None
            calls.append(expire_call(user_id, hold_id, of_packs=of_packs))
        for due in later:
            heapq.heappush(self._due, due)
        return calls

    def _let_go_of_asked(self) -> None:
        now = self._shard.now()
        self._not_before = {name: at for name, at in self._not_before.items() if at > now}

    async def _expire(self, calls: list[Call]) -> None:
        waiting = [(call, self._inbox.put(call.command.user_id, call)) for call in calls]
        failed: list[Call] = []
        for call, reply in waiting:
            told = OVERLOADED if reply is None else await reply
            outcome = told.outcome
            self._counters.holds_expired += outcome is Outcome.DONE and not told.replayed
            if outcome > Outcome.REFUSED:
                failed.append(call)
        again = self._shard.now() + timedelta(seconds=RETRY_SECONDS)
        for call in failed:
            assert isinstance(call.command, ExpireHold), "nothing else is asked for here"
            heapq.heappush(self._due, (again, call.command.hold_id, call.command.user_id))
