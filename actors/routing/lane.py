"""The way to one shard: calls that wait at the same time travel together in one message."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from actors.protocol.calls import OVERLOADED, Call, Envelope, Reply
from actors.protocol.directory import Directory
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import Query
from actors.runtime.tracing import Parent, carried, load
from domain.values import UserId

ENVELOPE_LENGTH_MAX = 512  # Calls in one message to a shard; of one user,
# so many: the replies to a message come together, and others wait for those that travel with them.
ENVELOPE_OF_ONE_USER_MAX = 8
# What comes while a message is being decided gathers for the next. That leaves once it is as long,
# so that the shard need not wait for it: short ones would cost more than its waiting.
ENVELOPES_IN_FLIGHT_MAX = 2
GATHER_SECONDS = 0.002  # Time between two messages to a shard, while callers are many.
ENVELOPE_SECONDS_MAX = 5.0  # How long a shard may take before it counts as lost.
QUEUE_LENGTH_MAX = 10_000  # Calls waiting here for one shard; beyond this, `overloaded`.

Item = Call | UserId
"""What is sent: a command under its key, or a user whose status is read."""


class Shards(Protocol):
    """The way to the shards. Every call may raise ShardLostError."""

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        """Return the replies of one shard to an envelope."""

    async def query(self, index: int, version: int, query: Query) -> Reply:
        """Return one shard's reply to a query."""

    async def directory(self) -> Directory:
        """Return the newest directory."""


@dataclass(slots=True, eq=False)
class Queued:
    """Something to send, and the future of its reply (None: the shard was lost)."""

    item: Item
    reply: "asyncio.Future[Reply | None]"
    parent: Parent | None
    """The span of the request that it is for, where that is traced."""


class Queue:
    """What waits for the next messages: each user in turn has a share of one, in order of arrival."""

    def __init__(self) -> None:
        self._of_users: dict[UserId, deque[Queued]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, waiting: Queued) -> None:
        """Let something wait."""
        self._of_users.setdefault(user_of(waiting.item), deque()).append(waiting)
        self._length += 1

    def take(self) -> list[Queued]:
        """Return what the next message is to carry. Users with more of their own come last again."""
        taken: list[Queued] = []
        for user_id in list(islice(self._of_users, ENVELOPE_LENGTH_MAX)):
            own = self._of_users.pop(user_id)
            share = min(len(own), ENVELOPE_OF_ONE_USER_MAX, ENVELOPE_LENGTH_MAX - len(taken))
            taken += [own.popleft() for _ in range(share)]
            if own:
                self._of_users[user_id] = own
            if len(taken) == ENVELOPE_LENGTH_MAX:
                break
        self._length -= len(taken)
        return taken


class Lane:
    """The way to one shard, for calls or for reads. Gathers what waits into one message."""

    def __init__(self, shards: Shards, index: int, version: int) -> None:
        self.version = version
        self._shards = shards
        self._index = index
        self._queue = Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._length_in_flight = 0
        self._gather_until = 0.0
        self._is_gathering = False

    async def send(self, item: Item) -> Reply | None:
        """Return the reply; None where the shard was lost."""
        if len(self._queue) >= QUEUE_LENGTH_MAX:
            return OVERLOADED
        waiting = Queued(item, asyncio.get_running_loop().create_future(), carried())
        self._queue.put(waiting)
        if self._is_due():
            self._is_gathering = True
            task = asyncio.create_task(self._carry())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.reply

    def _is_due(self) -> bool:
        """Whether somebody has to see to the next message."""
        if self._is_gathering or not self._queue:
            return False
        return not self._in_flight or (
            self._in_flight < ENVELOPES_IN_FLIGHT_MAX and len(self._queue) >= self._length_in_flight
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
        batch = [waiting for waiting in self._queue.take() if not waiting.reply.done()]
        if not batch:  # All its callers have gone.
            return
        items = [waiting.item for waiting in batch]
        # Callers are many now: the next message may gather some of them, unless it has enough.
        if len(items) > 1 and not self._queue:
            self._gather_until = asyncio.get_running_loop().time() + GATHER_SECONDS
        self._in_flight += 1
        self._length_in_flight = len(items)
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


def user_of(item: Item) -> UserId:
    """Return whose account is asked for."""
    return item.command.user_id if isinstance(item, Call) else item
