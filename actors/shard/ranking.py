"""Who of a shard's users has the least left, and who the most: looked through beside its work.

What is left of a day is worked out and stored nowhere, so no index can sort by it. All accounts in
RAM are gone through in its place, a few between two turns of the loop. One look serves all who ask
meanwhile and for a while after it. Whoever would wait too long gets the last whole one, and where
there is none, what was found until then.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from heapq import heappush, heapreplace, nlargest

from actors.protocol.ranking import RANKED_MAX, Order, Ranked
from actors.shard.residents import account_in_ram
from actors.shard.shard import Shard
from domain.account import Account
from domain.coverage import packs_at, remaining_at
from domain.values import Credits, Policy, UserId

SLICE = 10  # Accounts looked at before the loop has its turn, about a millisecond.
LOOK_SHARE = 0.5  # Share of its time in which a look computes: an operator waits.
WAIT_SECONDS_MAX = 0.3  # How long an answer waits for a look to be whole.
FRESH_SECONDS = 10.0  # How long a whole look serves others.
OLD_SECONDS = 600.0  # A whole look that is older serves nobody, be the next one whole or not.


class Best:
    """The best of many, by a rank: the higher, the better."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, UserId]] = []

    def add(self, rank: int, user_id: UserId) -> None:
        """Take one, and let the worst go where that is one too many."""
        if len(self._heap) < RANKED_MAX:
            heappush(self._heap, (rank, user_id))
        elif rank > self._heap[0][0]:
            heapreplace(self._heap, (rank, user_id))

    def first(self, limit: int) -> Iterator[tuple[int, UserId]]:
        """Yield the best ones, best first."""
        return iter(nlargest(limit, self._heap))


class Look:
    """One look through all accounts in RAM."""

    def __init__(self, users: int, now: datetime, began_at: float) -> None:
        """`users`: how many there are to look at."""
        self._users = users
        self.began_at = began_at
        self._as_of = now
        self._looked_at = 0
        self._most, self._least = Best(), Best()

    def note(self, user_id: UserId, left: Credits | None) -> None:
        """Take what a user has left; None: there is nothing to rank them by."""
        self._looked_at += 1
        if left is not None:
            self._most.add(left, user_id)
            self._least.add(-left, user_id)

    def ranked(self, order: Order, limit: int) -> Ranked:
        """Return the first of those that were looked at until now."""
        if order is Order.MOST:
            first = [(Credits(left), user_id) for left, user_id in self._most.first(limit)]
        else:
            first = [(Credits(-debt), user_id) for debt, user_id in self._least.first(limit)]
        return Ranked(self._users, self._looked_at, self._as_of, first)


class Ranking:
    """Answers who of one shard's users has the least left, or the most."""

    def __init__(
        self,
        shard: Shard,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shard = shard
        self._sleep = sleep
        self._monotonic = monotonic
        self._whole: Look | None = None
        self._under_way: tuple[Look, asyncio.Task[None]] | None = None

    async def first(self, order: Order, limit: int) -> Ranked:
        """Return the first of all users in RAM, or of those that were looked at in time."""
        if self._under_way is None and not self._is_younger(FRESH_SECONDS):
            self._begin()
        if self._under_way is not None:
            look, task = self._under_way
            done, _ = await asyncio.wait([task], timeout=WAIT_SECONDS_MAX)
            if not done and not self._is_younger(OLD_SECONDS):
                return look.ranked(order, limit)
            for one in done:
                one.result()
        assert self._whole is not None, "a look is whole, or was not long ago"
        return self._whole.ranked(order, limit)

    def _is_younger(self, seconds: float) -> bool:
        return self._whole is not None and self._monotonic() - self._whole.began_at < seconds

    def _begin(self) -> None:
        users = self._shard.accounts.users()
        look = Look(len(users), self._shard.now(), self._monotonic())
        self._under_way = look, asyncio.create_task(self._go_through(users, look))

    async def _go_through(self, users: Sequence[UserId], look: Look) -> None:
        try:
            for start in range(0, len(users), SLICE):
                began = self._monotonic()
                now, policy = self._shard.now(), self._shard.policy
                for user_id in users[start : start + SLICE]:
                    account = account_in_ram(self._shard, user_id)
                    left = None if account is None else left_of(account, now, policy)
                    look.note(user_id, left)
                await self._sleep((self._monotonic() - began) * (1 / LOOK_SHARE - 1))
            self._whole = look
        finally:
            self._under_way = None


def left_of(account: Account, now: datetime, policy: Policy) -> Credits | None:
    """Return what an account has left; None: neither a subscription is current, nor has a pack any."""
    if account.current(now) is None and not packs_at(account, now).are_there:
        return None
    return remaining_at(account, now, policy)
