"""The way from any process to the shards.

Ray finds a shard and carries what is rare; envelopes go through a socket to the shard's process,
or through Ray where that cannot be reached.
"""

import asyncio
import pickle
from datetime import timedelta
from functools import partial

from actors.protocol.calls import Envelope, Reply
from actors.protocol.changes import Changes, Stamp
from actors.protocol.directory import Directory, shard_name
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import ChangeQuery, Query, ShardQuery
from actors.protocol.ranking import Order, Ranked
from actors.protocol.reports import Findings, Reread, ShardReport
from actors.remote.handle import Handle
from actors.remote.lists import RayLists
from actors.remote.options import NAMESPACE
from actors.remote.shard import ShardActor
from actors.routing.wire import Connection, packed
from actors.runtime.tracing import travelling
from actors.shard.lists import ask_for_list
from domain.values import UserId

DIRECTORY_SECONDS_MAX = 3.0
LET_GO_SECONDS_MAX = 30.0  # How long a shard may take: views are written first.
UNREACHABLE_SECONDS = 60.0  # How long envelopes go through Ray where no socket could be opened.


class RayShards:
    """The way to the shards through Ray's actor handles."""

    def __init__(self, namespace: str = NAMESPACE, *, sockets: bool = True) -> None:
        self._namespace = namespace
        self._sockets = sockets
        self._lists = RayLists(namespace)
        self._handles: dict[int, Handle[ShardActor]] = {}
        self._connections: dict[int, asyncio.Task[Connection | None]] = {}
        self._unreachable_until: dict[int, float] = {}

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        """Return the replies of one shard to an envelope."""
        message = packed(envelope, travelling())
        connection = await self._connection(index)
        try:
            if connection is None:
                answer = await self._shard(index).ask(ShardActor.handle, message)
            else:
                answer = await connection.ask(message)
        except ConnectionError as error:
            raise ShardLostError(shard_name(index)) from error
        replies: list[Reply] = pickle.loads(answer)  # noqa: S301 - a shard of ours made it
        return replies

    async def query(self, index: int, version: int, query: Query) -> Reply:
        """Return the reply to a query: a shard's own, or a list once the shard has settled."""

        async def ask(question: ShardQuery) -> Reply:
            reply: Reply = await self._shard(index).ask(ShardActor.query, version, question)
            return reply

        if isinstance(query, ChangeQuery):
            return await ask(query)
        return await ask_for_list(query, ask, self._lists.read)

    async def directory(self) -> Directory:
        """Return the newest directory, as the first shard read it."""
        try:
            async with asyncio.timeout(DIRECTORY_SECONDS_MAX):
                table: Directory = await self._shard(0).ask(ShardActor.directory)
                return table
        except TimeoutError as error:
            raise ShardLostError(shard_name(0)) from error

    async def report(self, index: int) -> ShardReport:
        """Return what operators read about one shard."""
        try:
            report: ShardReport = await self._shard(index).ask(ShardActor.report)
        except ShardLostError:  # It may have moved, and be another actor by now.
            report = await self._shard(index).ask(ShardActor.report)
        return report

    async def follow(self, index: int, changes: Changes) -> Stamp | None:
        """Tell one shard what others changed; None: its directory has another version."""
        return await self._shard(index).ask(ShardActor.follow, changes)

    async def compare(self, index: int, *, repair: bool, whole: bool) -> Findings:
        """Compare all of one shard's RAM with MongoDB, or the accounts whose turn it is."""
        return await self._shard(index).ask(ShardActor.compare, repair=repair, whole=whole)

    async def reread(self, index: int, user_id: UserId | None) -> Reread:
        """Have one shard read a user, or all it has in RAM, anew from MongoDB."""
        return await self._shard(index).ask(ShardActor.reread, user_id)

    async def ranked(self, index: int, order: Order, limit: int) -> Ranked:
        """Return the first of one shard's users in RAM by what they have left."""
        return await self._shard(index).ask(ShardActor.ranked, order, limit)

    async def set_clock(self, index: int, ahead: timedelta) -> None:
        """Set one shard's clock so far ahead of the real time."""
        await self._shard(index).ask(ShardActor.set_clock, ahead)

    async def drain(self, index: int) -> None:
        """Return once every write that one shard has answered is in the views."""
        await self._shard(index).ask(ShardActor.drain)

    async def hand_over(self, index: int, version: int) -> int:
        """Have one shard follow the table; return under which version it has handed over."""
        return await self._shard(index).ask(ShardActor.hand_over, version)

    async def let_go(self, index: int, user_id: UserId) -> float:
        """Have one shard forget a user; return for how long none of its appends was in doubt."""
        async with asyncio.timeout(LET_GO_SECONDS_MAX):
            return await self._shard(index).ask(ShardActor.let_go, user_id)

    async def take_up(self, index: int) -> None:
        """Have one shard take up what former owners could not write, and fill its RAM."""
        await self._shard(index).ask(ShardActor.take_up)

    async def _connection(self, index: int) -> Connection | None:
        """Return the open connection to a shard; callers at the same time share its opening."""
        if not self._sockets:
            return None
        opening = self._connections.get(index)
        if opening is None or (opening.done() and _is_over(opening)):
            opening = self._connections[index] = asyncio.create_task(self._open(index))
        return await asyncio.shield(opening)

    async def _open(self, index: int) -> Connection | None:
        """Open a connection; None where the shard lives but its socket cannot be reached."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._unreachable_until.get(index, 0.0):
            return None
        endpoint = await self._shard(index).ask(ShardActor.endpoint)
        try:
            return await Connection.open(endpoint)
        except (OSError, TimeoutError):
            self._unreachable_until[index] = loop.time() + UNREACHABLE_SECONDS
            return None

    def _shard(self, index: int) -> Handle[ShardActor]:
        if index not in self._handles:
            self._handles[index] = Handle(
                shard_name(index),
                partial(ShardLostError, shard_name(index)),
                self._namespace,
                refusal=ValueError,  # The caller's cursor is not one of ours.
                is_kept=True,
            )
        return self._handles[index]


def _is_over(opening: "asyncio.Task[Connection | None]") -> bool:
    """Whether what was opened cannot be used (any more)."""
    if opening.cancelled() or opening.exception() is not None:
        return True
    connection = opening.result()
    return connection is None or connection.is_lost
