"""Sends every call to the shard that owns its user: followed, repeated, in time.

A shard lost on the way is asked again with the same key, so that nothing is charged twice; a newer
directory is followed. So is one asked again whose database is away, for as long as an election may
take: not where it has been away for longer.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import TypeVar

from actors.protocol.calls import MOVED, OVERLOADED, UNAVAILABLE, Call, Outcome, Reply
from actors.protocol.directory import Directory
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import Query
from actors.protocol.store import ELECTION_SECONDS
from actors.routing.batch_pace import BatchPace
from actors.routing.lane import ENVELOPE_SECONDS_MAX, Lane, Shards, deliver
from actors.routing.others import Others
from actors.routing.queue import Item, Queue, user_of
from actors.runtime.backoff import backoff
from domain.values import UserId

PAUSE_SECONDS_MIN = 0.05  # Pause before a lost call is repeated; doubled each time,
PAUSE_SECONDS_MAX = 0.5  # up to here.
# Who repeats a call amid an outage of the database hears of it more often than this.
OUTAGE_GAP_SECONDS = ENVELOPE_SECONDS_MAX + 2 * PAUSE_SECONDS_MAX
MOVED_PAUSE_SECONDS_MAX = 0.1  # The same while a user's slot is on its way.
ATTEMPTS_BEFORE_GONE = 2  # Lost more often, a shard may be one that was ended: the directory tells.

KNOWN_MAX = 50_000  # Users whom their shard has answered lately: most likely it has them in RAM.

Sent = TypeVar("Sent", Call, UserId)


KNOWN = (Outcome.DONE, Outcome.REFUSED)
"""What says that a shard has looked at a user's account."""


class Router:
    """One process's way to all shards. For `user_pace`, see `Queue`."""

    def __init__(self, shards: Shards, timeout_seconds: float, user_pace: int = 0) -> None:
        self._shards = shards
        self._user_pace = user_pace
        self._others = Others()
        self._batches = BatchPace(user_pace, self._others)
        self._timeout = timeout_seconds
        self._away_since: float | None = None
        self._away_until = 0.0
        """When it was heard last that the database is away."""
        self._table: Directory | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._lanes: dict[tuple[int, bool, bool], Lane] = {}
        self._known: dict[UserId, None] = {}

    async def call(self, call: Call) -> Reply:
        """Return the reply to a command: its first answer, however often it had to be sent."""
        return (await self._until_answered([call], self._send_one))[0]

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        """Return the replies to many commands, in order. Those of one user keep their order."""
        for call in calls[:1]:  # A batch is one caller's, whomever else it is about.
            self._others.note(user_of(call), asyncio.get_running_loop().time())
        if not await self._batches.turn(call.command.user_id for call in calls):
            return [OVERLOADED] * len(calls)
        return await self._until_answered(calls, self._send_many)

    async def status(self, user_id: UserId) -> Reply:
        """Return the status of a user."""
        return (await self._until_answered([user_id], self._send_one))[0]

    async def statuses(self, user_ids: Sequence[UserId]) -> list[Reply]:
        """Return the statuses of many users, in order."""
        return await self._until_answered(user_ids, self._send_many)

    async def query(self, query: Query) -> Reply:
        """Return the answer to a query. ValueError: its cursor is not one of ours."""

        async def send(table: Directory, _: Sequence[UserId]) -> list[Reply | None]:
            try:
                index = table.owner(query.user_id)
                return [await self._shards.query(index, table.version, query)]
            except ShardLostError:
                return [None]

        return (await self._until_answered([query.user_id], send))[0]

    async def _send_one(self, table: Directory, items: Sequence[Item]) -> list[Reply | None]:
        reply = await self._lane(table, items[0]).send(items[0])
        if reply is not None and reply.outcome in KNOWN:
            self._know(user_of(items[0]))
        return [reply]

    async def _send_many(self, table: Directory, items: Sequence[Item]) -> list[Reply | None]:
        """Send to every owner what is its own, all at once, past the lanes."""
        places: dict[int, list[int]] = {}
        for place, item in enumerate(items):
            places.setdefault(table.owner(user_of(item)), []).append(place)
        delivered = await asyncio.gather(
            *(
                deliver(self._shards, index, table.version, [items[p] for p in own])
                for index, own in places.items()
            )
        )
        replies: list[Reply | None] = [None] * len(items)
        for own, answers in zip(places.values(), delivered, strict=True):
            for place, reply in zip(own, answers, strict=True):
                replies[place] = reply
        return replies

    async def _until_answered(
        self,
        items: Sequence[Sent],
        send: Callable[[Directory, Sequence[Sent]], Awaitable[list[Reply | None]]],
    ) -> list[Reply]:
        """Send until all are answered: what was lost or has moved again, after a pause.

        Not the first time that something has only moved: most often the directory is a newer one.
        """
        replies: list[Reply | None] = [None] * len(items)
        waiting = dict(enumerate(items))
        outdated: Directory | None = None
        patient_until = asyncio.get_running_loop().time() + ELECTION_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                for attempt in count():
                    was_lost = True
                    with contextlib.suppress(ShardLostError):
                        table = await self._newest(outdated)
                        answers = await send(table, list(waiting.values()))
                        may_be_gone = None in answers and attempt >= ATTEMPTS_BEFORE_GONE
                        answers = self._without_elections(waiting, answers, patient_until)
                        was_lost = None in answers
                        outdated = table if MOVED in answers or may_be_gone else None
                        waiting = self._take(waiting, answers, replies)
                    if not waiting:
                        break
                    if attempt or was_lost:
                        longest = PAUSE_SECONDS_MAX if was_lost else MOVED_PAUSE_SECONDS_MAX
                        await asyncio.sleep(backoff(attempt, PAUSE_SECONDS_MIN, longest))
        return [UNAVAILABLE if reply is None else reply for reply in replies]

    def _without_elections(
        self, sent: Mapping[int, Sent], answers: list[Reply | None], patient_until: float
    ) -> list[Reply | None]:
        """Return the answers; None for those that an election of the database may have caused."""
        now = asyncio.get_running_loop().time()
        if UNAVAILABLE not in answers:
            if _was_decided(sent.values(), answers):
                self._away_since = None
            return answers
        if self._away_since is None or now > self._away_until + OUTAGE_GAP_SECONDS:
            self._away_since = now  # No call may have seen the end of an outage before.
        self._away_until = now
        if now >= min(patient_until, self._away_since + ELECTION_SECONDS):
            return answers
        return [None if answer == UNAVAILABLE else answer for answer in answers]

    def _take(
        self,
        waiting: dict[int, Sent],
        answers: Sequence[Reply | None],
        replies: list[Reply | None],
    ) -> dict[int, Sent]:
        """Keep the answers, and return what must be sent again."""
        again: dict[int, Sent] = {}
        for (place, item), reply in zip(waiting.items(), answers, strict=True):
            if reply is None:
                again[place] = _as_repeat(item)
            elif reply.outcome is Outcome.MOVED:
                again[place] = item
            else:
                replies[place] = reply
        return again

    async def _newest(self, outdated: Directory | None) -> Directory:
        """Return another table than this one, under which something has moved.

        Others go on with it meanwhile: while a slot is on its way, there is no newer version yet.
        So does the caller where the directory cannot be read.
        """
        if self._table is None:
            return await self._refresh()
        if self._table is outdated:
            with contextlib.suppress(ShardLostError):
                return await self._refresh()
        return self._table

    async def _refresh(self) -> Directory:
        """Read the directory; callers at the same time share one reading."""
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._read_directory())
            # Its failure is its callers' matter, and they may have gone.
            self._refreshing.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._refreshing)
        assert self._table is not None, "the reading has just set it"
        return self._table

    async def _read_directory(self) -> None:
        try:
            before, self._table = self._table, await self._shards.directory()
            if before is None or before.version != self._table.version:
                self._lanes = {}  # The old ones finish what they carry under the old version.
        finally:
            self._refreshing = None

    def _know(self, user_id: UserId) -> None:
        if user_id not in self._known:
            self._known[user_id] = None
            if len(self._known) > KNOWN_MAX:
                del self._known[next(iter(self._known))]

    def _lane(self, table: Directory, item: Item) -> Lane:
        """Return the lane for calls, or for reads, to the owner of the item's user.

        The replies to a message come together: whom the shard may have to read first travels apart from
        those who were answered lately.
        """
        user_id = user_of(item)
        place = table.owner(user_id), isinstance(item, Call), user_id in self._known
        lane = self._lanes.get(place)
        if lane is None or lane.version != table.version:
            queue = Queue(self._user_pace, self._others)
            lane = self._lanes[place] = Lane(self._shards, place[0], table.version, queue)
        return lane


def _was_decided(sent: Iterable[Call | UserId], answers: Iterable[Reply | None]) -> bool:
    """Say whether a write is among what was answered. RAM answers the rest, be the database away."""
    return any(
        isinstance(item, Call) and reply is not None and reply.outcome in KNOWN
        for item, reply in zip(sent, answers, strict=True)
    )


def _as_repeat(item: Sent) -> Sent:
    """Return what is sent again after a loss. A call may have been done: it is a repeat now."""
    return item._replace(keep_refusal=True) if isinstance(item, Call) else item
