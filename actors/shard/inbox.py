"""What waits for a shard's loop: calls, and reads of accounts that are not in RAM.

What cannot be decided yet is set aside, and comes before all others once it can.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from actors.protocol.calls import OVERLOADED, UNAVAILABLE, Call, Reply
from domain.messages import Command
from domain.values import UserId

INBOX_LENGTH_MAX = 10_000  # Beyond this, callers are told `overloaded` at once.
BATCH_LENGTH_MAX = 1_000  # Calls decided and appended together; of one user,
BATCH_OF_ONE_USER_MAX = 32  # so many: whoever sends more at once lets others go between.
# Where the oldest has waited so long, no more is taken. Routers count a shard as lost after 5 seconds
# and send all of it again, so that more than can be done would become more still.
WAITING_SECONDS_MAX = 2.5


@dataclass(slots=True, eq=False)
class Work:
    """One call in the inbox and its future reply; a read of a missing account has no call."""

    user_id: UserId
    call: Call | None
    reply: "asyncio.Future[Reply]"
    since: float
    """When it arrived, or could be decided, on the loop's clock."""
    anew: bool = False
    """Whatever RAM holds of the user is to be read again first."""
    number: int = 0
    """How many had arrived before it."""

    def repeat(self) -> None:
        """Note that the call may have been done, now or later: from here on it is a repeat.

        Its refusal is entered, too: that is refused where the call has been done.
        """
        if self.call is not None:
            self.call = self.call._replace(keep_refusal=True)

    def answer(self, reply: Reply) -> None:
        """Answer the caller, unless it has gone."""
        if not self.reply.done():
            self.reply.set_result(reply)


Batch = Sequence[Work]


def commands(batch: Batch) -> Iterator[Command]:
    """Yield what the calls of a batch ask for."""
    return (work.call.command for work in batch if work.call is not None)


def repeat(batch: Batch) -> None:
    """Note that each call of a batch may have been done."""
    for work in batch:
        work.repeat()


class Inbox:
    """A bounded queue in order of arrival, taken in batches, that knows how much of it is finished."""

    def __init__(self) -> None:
        self._waiting: deque[Work] = deque()
        self._aside: dict[int, Work] = {}
        """By number."""
        self._arrived = asyncio.Event()
        self._accepted = 0
        self._at_work: Batch = ()
        self._batch_finished = asyncio.Event()
        self._taken_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._aside)

    def put(
        self, user_id: UserId, call: Call | None, *, anew: bool = False
    ) -> "asyncio.Future[Reply] | None":
        """Take one call, or a read (None), and return its future reply; None where it is full."""
        loop = asyncio.get_running_loop()
        if len(self) >= INBOX_LENGTH_MAX or (
            self._waiting and loop.time() - self._waiting[0].since > WAITING_SECONDS_MAX
        ):
            return None
        work = Work(user_id, call, loop.create_future(), loop.time(), anew, self._accepted)
        self._waiting.append(work)
        self._accepted += 1
        self._arrived.set()
        return work.reply

    @property
    def taken(self) -> frozenset[UserId]:
        """Users of the batch that is being worked on: their accounts may be about to change."""
        return frozenset(work.user_id for work in self._at_work)

    @property
    def refusal(self) -> Reply:
        """What a caller is told of whom nothing was taken: why things wait."""
        at_work = asyncio.get_running_loop().time() - self._taken_at
        # One batch takes as long as all that wait for it may: it is the database that is slow.
        return UNAVAILABLE if self._at_work and at_work > WAITING_SECONDS_MAX else OVERLOADED

    async def take(self) -> list[Work]:
        """Wait for work and return what has arrived, in order, never waiting for more.

        Of a user who has more than a batch takes, the rest comes first with the next one.
        """
        await self._arrived.wait()
        batch: list[Work] = []
        rest: list[Work] = []
        of_user = Counter[UserId]()
        while self._waiting and len(batch) < BATCH_LENGTH_MAX:
            work = self._waiting.popleft()
            of_user[work.user_id] += 1
            (batch if of_user[work.user_id] <= BATCH_OF_ONE_USER_MAX else rest).append(work)
        self._waiting.extendleft(reversed(rest))
        if not self._waiting:
            self._arrived.clear()
        self._at_work = batch
        self._taken_at = asyncio.get_running_loop().time()
        return batch

    def set_aside(self, works: Batch) -> None:
        """Keep what was taken and cannot be decided yet."""
        self._aside.update((work.number, work) for work in works)

    def take_back(self, works: Batch) -> None:
        """Have what was set aside come next, in order of arrival."""
        now = asyncio.get_running_loop().time()
        for work in sorted(works, key=lambda work: work.number, reverse=True):
            work.since = now  # Whoever comes is refused for what waits here alone.
            self._waiting.appendleft(self._aside.pop(work.number))
            self._arrived.set()

    def drop(self, works: Batch) -> None:
        """Note that what was set aside is answered."""
        for work in works:
            del self._aside[work.number]
        self._batch_finished.set()

    def refuse(self, users: Container[UserId]) -> None:
        """Answer `unavailable` to all that waits of these users, as to what came before it.

        Callers repeat both in order; what was decided now would come before what was refused.
        """
        refused = [work for work in self._waiting if work.user_id in users]
        self._waiting = deque(work for work in self._waiting if work.user_id not in users)
        for work in refused:
            work.answer(UNAVAILABLE)
        self._batch_finished.set()

    def finish(self) -> None:
        """Note that the batch at work is answered."""
        self._at_work = ()
        self._batch_finished.set()

    async def settle(self) -> None:
        """Wait until all that has arrived so far is answered; what comes later can wait."""
        before = self._accepted
        while self._oldest < before:
            self._batch_finished.clear()
            await self._batch_finished.wait()

    @property
    def _oldest(self) -> int:
        """The number of the oldest that is not answered."""
        unanswered = chain(self._at_work, self._waiting, self._aside.values())
        return min((work.number for work in unanswered), default=self._accepted)
