"""Shards that answer as a test says, and note what they were sent."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from actors.protocol.calls import MOVED, UNAVAILABLE, Call, Envelope, Outcome, Reply
from actors.protocol.directory import Directory, even, slot_of
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import Query
from domain.values import UserId

Answer = Callable[[int, Envelope], Awaitable[list[Reply]]]


def user_of(item: Call | UserId) -> UserId:
    return item.command.user_id if isinstance(item, Call) else item


def echo(item: Call | UserId) -> Reply:
    """Return a reply that names what it replies to."""
    text = item.key if isinstance(item, Call) else item
    return Reply(Outcome.DONE, text.encode())


class FakeShards:
    """Every shard echoes what it is sent, under the directory that is in force."""

    def __init__(self, shards: int = 1) -> None:
        self.table: Directory = even(1, shards)
        self.sent: list[tuple[int, Envelope]] = []
        self.directories_read = 0
        self.gate = asyncio.Event()
        """Shards answer only while it is set."""
        self.gate.set()
        self.ended: set[int] = set()
        """These shards are gone for ever."""
        self.faults: list[type[Exception]] = []
        """What the next messages meet instead of a shard."""

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        self.sent.append((index, envelope))
        await self._reach()
        if index in self.ended:
            raise ShardLostError
        if envelope.version != self.table.version:
            return [MOVED] * (len(envelope.calls) + len(envelope.status_of))
        items: list[Call | UserId] = [*envelope.calls, *envelope.status_of]
        return [
            MOVED if slot_of(user_of(item)) in self.table.leaving else echo(item) for item in items
        ]

    async def query(self, index: int, version: int, query: Query) -> Reply:
        self.sent.append((index, Envelope(version)))
        await self._reach()
        return MOVED if version != self.table.version else echo(query.user_id)

    async def directory(self) -> Directory:
        self.directories_read += 1
        await self._reach()
        return self.table

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        fault = self.faults.pop(0) if self.faults else None
        await self.gate.wait()
        if fault:
            raise fault("a fault was asked for")

    @property
    def keys(self) -> list[list[str]]:
        """The keys of all calls, message by message."""
        return [[call.key for call in envelope.calls] for _, envelope in self.sent]


def texts(replies: Sequence[Reply]) -> list[str]:
    return [(reply.body or b"").decode() for reply in replies]


class AwayShards(FakeShards):
    """Shards whose database is away for as long as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = True

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        replies = await super().send(index, envelope)
        return [UNAVAILABLE] * len(replies) if self.is_away else replies
