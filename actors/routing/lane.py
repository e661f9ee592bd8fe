"""The way to one shard: calls that wait at the same time travel together in one message."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from actors.protocol.calls import OVERLOADED, Call, Envelope, Reply
from actors.protocol.directory import Directory
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import Query
from actors.routing.queue import Item, Queue, Queued, user_of
from actors.runtime.tracing import carried, load

# What comes while a message is being decided gathers for the next. That leaves once it is as long,
# so that the shard need not wait for it: short ones would cost more than its waiting.
ENVELOPES_IN_FLIGHT_MAX = 2
GATHER_SECONDS = 0.002  # Time between two messages to a shard, while callers are many.
ENVELOPE_SECONDS_MAX = 5.0  # How long a shard may take before it counts as lost.


class Shards(Protocol):
    """The way to the shards. Every call may raise ShardLostError."""

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        """Return the replies of one shard to an envelope."""

    async def query(self, index: int, version: int, query: Query) -> Reply:
        """Return one shard's reply to a query."""

    async def directory(self) -> Directory:
        """Return the newest directory."""


class Lane:
    """The way to one shard, for calls or for reads. Gathers what waits into one message."""

    def __init__(self, shards: Shards, index: int, version: int, queue: Queue) -> None:
        self.version = version
        self._shards = shards
        self._index = index
        self._queue = queue
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._length_in_flight = 0
        self._gather_until = 0.0
        self._is_gathering = False
        self._letting_go: asyncio.TimerHandle | None = None

    async def send(self, item: Item) -> Reply | None:
        """Return the reply; None where the shard was lost."""
        loop = asyncio.get_running_loop()
        if not self._queue.admits(user_of(item), loop.time()):
            return OVERLOADED
        waiting = Queued(item, loop.create_future(), carried())
        self._queue.put(waiting)
        self._see_to_next()
        return await waiting.reply

    def _see_to_next(self) -> None:
        """Have a message gathered and sent, where one is due."""
        if self._is_due():
            self._is_gathering = True
            task = asyncio.create_task(self._carry())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _set_timer(self) -> None:
        """Have those who are held back go on when it is time."""
        if self._queue.held_back and self._letting_go is None:
            loop = asyncio.get_running_loop()
            self._letting_go = loop.call_at(self._queue.held_until, self._let_go)

    def _let_go(self) -> None:
        self._letting_go = None
        self._queue.let_go()
        self._see_to_next()

    def _is_due(self) -> bool:
        """Whether somebody has to see to the next message."""
        if self._is_gathering or not self._queue.due:
            return False
        return not self._in_flight or (
            self._in_flight < ENVELOPES_IN_FLIGHT_MAX and self._queue.due >= self._length_in_flight
        )

    async def _carry(self) -> None:
        """Gather a message and send it, then the next, as long as one is due."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # Who calls in the same turn of the loop travels along.
        while True:
            if (early := self._gather_until - loop.time()) > 0:
                await asyncio.sleep(early)
            self._is_gathering = False
            # The callers of the message before have not had their turn yet: the shard begins with
            # this one while they write their answers.
            await self._send_next()
            if not self._is_due():
                return
            self._is_gathering = True

    async def _send_next(self) -> None:
        now = asyncio.get_running_loop().time()
        batch = [waiting for waiting in self._queue.take(now) if not waiting.reply.done()]
        self._set_timer()
        if not batch:  # All its callers have gone.
            return
        items = [waiting.item for waiting in batch]
        held_back = self._queue.held_back  # Others do not gather behind these.
        length = len(items)
        if held_back:
            length = sum(user_of(item) not in held_back for item in items)
        # Callers are many now: the next message may gather some of them, unless it has enough.
        if length > 1 and not self._queue.due:
            self._gather_until = now + GATHER_SECONDS
        self._in_flight += 1
        self._length_in_flight = length
        load([waiting.parent for waiting in batch])
        try:
            replies = await deliver(self._shards, self._index, self.version, items)
        finally:
            self._in_flight -= 1
        for waiting, reply in zip(batch, replies, strict=True):
            if not waiting.reply.done():  # Its caller may have gone meanwhile.
                waiting.reply.set_result(reply)


async def deliver(
    shards: Shards, index: int, version: int, items: Sequence[Item]
) -> Sequence[Reply | None]:
    """Return one shard's replies to calls, or to reads, in order; None where it was lost."""
    calls = tuple(item for item in items if isinstance(item, Call))
    reads = tuple(item for item in items if not isinstance(item, Call))
    try:
        async with asyncio.timeout(ENVELOPE_SECONDS_MAX):
            return await shards.send(index, Envelope(version, calls, reads))
    except (ShardLostError, TimeoutError):
        return [None] * len(items)
