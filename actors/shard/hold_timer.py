"""Writes down which holds are over, as soon as they are: no request is needed for it.

What is over is free by the clock alone; this brings journal and documents up to it. Only holds of
resident accounts are known here. After a restart the janitor finds the others in their documents.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from datetime import datetime, timedelta

from actors.protocol.calls import OVERLOADED, Call, Outcome
from actors.protocol.expiry import expire_call
from actors.runtime.counters import Counters
from actors.shard.accounts import Accounts
from actors.shard.inbox import Inbox
from actors.shard.open_holds import Due
from actors.shard.ownership import Ownership
from domain.holds import ExpireHold

LOOK_SECONDS_MAX = 1.0  # The clock may be set: it is looked at so often while holds are open.
RETRY_SECONDS = 1.0  # Pause before a hold is asked about again, be it that it is still there.
EXPIRIES_AT_ONCE = 500  # They share a batch with calls, which wait as long as it takes.


class HoldExpiry:
    """Expires the holds of resident accounts."""

    def __init__(
        self,
        accounts: Accounts,
        ownership: Ownership,
        inbox: Inbox,
        counters: Counters,
        now: Callable[[], datetime],
    ) -> None:
        self._accounts = accounts
        self._ownership = ownership
        self._inbox = inbox
        self._counters = counters
        self._now = now
        self._holds = accounts.open_holds
        self._not_before: dict[str, datetime] = {}
        """Holds asked about just now. An account read anew may still have them: its document does."""

    def look(self) -> None:
        """Look at the clock now."""
        self._holds.changed.set()

    async def run(self) -> None:
        """Expire for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds()):
                    await self._holds.changed.wait()
            self._holds.changed.clear()
            self._let_go_of_asked()
            while calls := self._take_due():
                await self._expire(calls)

    def _seconds(self) -> float | None:
        """Return how long to wait: until the next is over, or for the next hold."""
        if not self._holds.due:
            return None
        seconds = (self._holds.due[0][0] - self._now()).total_seconds()
        return min(max(seconds, 0.0), LOOK_SECONDS_MAX)

    def _take_due(self) -> list[Call]:
        """Return the calls for holds that are over, but for those resolved already."""
        calls: list[Call] = []
        later: set[Due] = set()
        now = self._now()
        while self._holds.due and self._holds.due[0][0] <= now and len(calls) < EXPIRIES_AT_ONCE:
            _, hold_id, user_id = heapq.heappop(self._holds.due)
            if not self._ownership.owns(user_id):  # The user has moved: so has the hold.
                continue
            account = self._accounts.use(user_id)  # It may have hundreds that are over.
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
            heapq.heappush(self._holds.due, due)
        return calls

    def _let_go_of_asked(self) -> None:
        now = self._now()
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
        again = self._now() + timedelta(seconds=RETRY_SECONDS)
        for call in failed:
            assert isinstance(call.command, ExpireHold), "nothing else is asked for here"
            heapq.heappush(self._holds.due, (again, call.command.hold_id, call.command.user_id))
