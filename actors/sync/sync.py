"""Tells the shards what other programs change in MongoDB. Plain Python: Ray is added elsewhere.

    read what the stream has → find whose accounts → tell the shards that own them, each by itself
    → once all have acknowledged, store the resume token

Twice a second a beat is written to MongoDB. When it comes back through the stream, all that was
written before it has been seen: so shards know how old their news are, also where nothing
changes. Beats are numbered: a number that is missing shows that the stream left something out.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from actors.protocol.directory import Directory
from actors.protocol.reports import SyncReport
from actors.protocol.store import Moment, StorageUnavailableError
from actors.runtime.counters import SyncCounters
from actors.runtime.steps_in_hand import StepsInHand
from actors.sync.changes import Beat, ChangeSource, HistoryLostError, Position, StreamedChange
from actors.sync.notifier import FollowingShards, Notifier
from domain.values import UserId

BEAT_SECONDS = 0.5  # The news are at most about twice so old where nothing changes.
SILENCE_SECONDS_MAX = 5.0  # A stream that brings not even a beat so long is opened again.
RETRY_SECONDS = 1.0  # Pause before the database is asked again.
STEP_SECONDS_MAX = 120.0  # The stream is asked for what it has without a limit of the driver's.
DIRECTORY_SECONDS = 0.2  # Pause before a directory that shards do not share is read again.

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Sync:
    """Follows the change stream and tells the shards."""

    def __init__(
        self,
        source: ChangeSource,
        shards: FollowingShards,
        read_table: Callable[[], Directory | None],
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        """`read_table` blocks and may raise StorageUnavailableError."""
        self.counters = SyncCounters()
        self.steps = StepsInHand(monotonic)
        self._source = source
        self._shards = shards
        self._read_table = read_table
        self._clock = clock
        self._monotonic = monotonic
        self._name = secrets.token_hex(8)
        self._started = monotonic()
        self._table: Directory | None = None
        self._notifiers: list[Notifier] = []
        self._notifier_tasks: list[asyncio.Task[None]] = []
        self._loops = asyncio.TaskGroup()
        self._moved = asyncio.Event()
        self._number = self._newest_beat = 0
        self._read: Position | None = None
        self._beat: int | None = None
        self._moment: Moment | None = None
        self._current_at: float | None = None
        self._acknowledged_at: float | None = None
        self._candidate: tuple[int, Position | None, float | None] | None = None
        self._stored: Position | None = None
        self._last_event_at: datetime | None = None
        self._stream_thread = ThreadPoolExecutor(1, thread_name_prefix="change-stream")

    def report(self) -> SyncReport:
        """Return what operators read."""
        return SyncReport(
            lag_seconds=self.lag_seconds,
            last_event_at=self._last_event_at,
            events_applied=self.counters.events_applied,
            resumes=self.counters.resumes,
            resyncs=self.counters.resyncs,
            quarantined=self.counters.quarantined,
        )

    @property
    def lag_seconds(self) -> float:
        """Every shard has been told of every change made before so many seconds ago."""
        since = self._started if self._acknowledged_at is None else self._acknowledged_at
        return self._monotonic() - since

    # --- the loops ----------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the stream for ever."""
        async with self._loops as loops:
            await self._follow_directory()
            loops.create_task(self._follow_for_ever())
            loops.create_task(self._beat_for_ever())
            loops.create_task(self._follow_directory_for_ever())

    async def _follow_for_ever(self) -> None:
        """Keep a stream open: where it ended, or from now on with everything forgotten."""
        known = False
        while True:
            try:
                if not known:
                    self._read = self._stored = await self._in_stream_thread(self._source.stored)
                    self._beat = None if self._read is None else self._read.beat
                    known = True
                await self._follow_one_stream()
            except HistoryLostError as error:
                known = True
                logger.warning("the change stream is lost, everything is read again: %s", error)
                self._lose()
            except StorageUnavailableError as error:
                logger.warning("the change stream waits for the database: %r", error.__cause__)
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow_one_stream(self) -> None:
        await self._in_stream_thread(lambda: self._source.open(self._read))
        if self._read is None:
            self._newest_beat = await self._in_stream_thread(self._source.newest_beat)
            self._learn(await self._in_stream_thread(self._source.moment))
            self._forget_all(self._notifiers)
        else:
            self._beat = self._read.beat
            self.counters.resumes += 1
        heard_at = self._monotonic()
        while True:
            changes = await self._in_stream_thread(self._source.take)
            if changes:
                heard_at = self._monotonic()
                self._take(changes)
            elif self._monotonic() > heard_at + SILENCE_SECONDS_MAX:
                raise StorageUnavailableError("the stream is silent")

    def _lose(self) -> None:
        self.counters.resyncs += 1
        self._read = None
        self._beat = None

    async def _beat_for_ever(self) -> None:
        while True:
            with contextlib.suppress(StorageUnavailableError):
                sent, position = self._monotonic(), self._stored
                with self.steps.step("a beat", STEP_SECONDS_MAX):
                    await asyncio.to_thread(self._source.beat, self._name, sent, position)
            await asyncio.sleep(BEAT_SECONDS)

    # --- batches ------------------------------------------------------------------------

    def _take(self, changes: Sequence[StreamedChange]) -> None:
        """Tell of a batch, and note where the stream is after it. Raises HistoryLostError."""
        beats = [change.beat for change in changes if change.beat is not None]
        for beat in beats:
            self._count_beat(beat)
        self._number += 1
        self._learn(max((c.moment for c in changes if c.moment is not None), default=None))
        self._tell(changes)
        if beats:
            self._hear(beats)
            for notifier in self._notifiers:
                notifier.beat(self._number)
        if self._beat is not None:
            self._read = Position(changes[-1].token, self._beat)
        self._advance()

    def _learn(self, moment: Moment | None) -> None:
        if moment is not None:
            self._moment = max(moment, self._moment or moment)

    def _count_beat(self, beat: Beat) -> None:
        before = self._newest_beat if self._beat is None else self._beat
        # The first that a new stream brings may have been written while it was opened.
        if beat.number > before + 1 or (self._beat is not None and beat.number <= before):
            raise HistoryLostError(f"beat {beat.number} came after {before}")
        self._beat = beat.number

    def _hear(self, beats: Sequence[Beat]) -> None:
        """Note when MongoDB was as we have seen it now. Another sender's clock says nothing."""
        own = [beat.sent for beat in beats if beat.sender == self._name]
        if own:
            self._current_at = max(own)

    def _tell(self, changes: Sequence[StreamedChange]) -> None:
        """Sort the changes by owner; a document that may have been anybody's goes to all."""
        assert self._table is not None, "the directory is read first"
        users: dict[int, list[UserId]] = {}
        documents = [c.document_id for c in changes if c.document_id is not None]
        for change in changes:
            if change.beat is not None:
                continue
            self._note(change)
            for user_id in change.users:
                users.setdefault(self._table.owner(user_id), []).append(user_id)
        for index, notifier in enumerate(self._notifiers):
            own = users.get(index, ())
            if own or documents:
                notifier.tell(own, documents, self._number)

    def _note(self, change: StreamedChange) -> None:
        self._last_event_at = self._clock()
        self.counters.events_applied += 1
        if change.unreadable is not None:
            self.counters.quarantined += 1
            logger.warning("a change of another program cannot be followed: %s", change.unreadable)

    def _forget_all(self, notifiers: Sequence[Notifier]) -> None:
        self._number += 1
        for notifier in notifiers:
            notifier.tell_to_forget_all(self._number)

    def _age(self) -> float | None:
        return None if self._current_at is None else self._monotonic() - self._current_at

    def _advance(self) -> None:
        """Move what all shards have acknowledged forward, one candidate after the other."""
        if self._candidate is not None:
            number, position, current_at = self._candidate
            if not all(notifier.has_told(number) for notifier in self._notifiers):
                return
            self._stored, self._acknowledged_at = position, current_at
        self._candidate = self._number, self._read, self._current_at

    # --- the directory ------------------------------------------------------------------

    async def _follow_directory_for_ever(self) -> None:
        while True:
            await self._moved.wait()
            await asyncio.sleep(DIRECTORY_SECONDS)
            self._moved.clear()
            await self._follow_directory()

    async def _follow_directory(self) -> None:
        """Read the newest directory, and tell what still waits to whoever owns it now."""
        table = None
        while table is None:
            try:
                table = await asyncio.to_thread(self._read_table)
            except StorageUnavailableError as error:
                logger.warning("the synchronisation waits for the database: %r", error.__cause__)
            if table is None:
                await asyncio.sleep(RETRY_SECONDS)
        if table != self._table:
            self._take_up(table)

    def _take_up(self, table: Directory) -> None:
        is_first, known = self._table is None, len(self._notifiers)
        self._table = table
        while len(self._notifiers) < table.shards:
            self._add_notifier(len(self._notifiers))
        if not is_first:
            # These have read accounts already; of deletions only the others were told.
            self._forget_all(self._notifiers[known:])
        for notifier in self._notifiers:
            notifier.version = table.version
        self._sort_again(table)
        for task in self._notifier_tasks[table.shards :]:
            task.cancel()
        del self._notifiers[table.shards :], self._notifier_tasks[table.shards :]

    def _add_notifier(self, index: int) -> None:
        notifier = Notifier(
            self._shards,
            index,
            age=self._age,
            moment=lambda: self._moment,
            acknowledged=self._advance,
            moved=self._moved.set,
        )
        self._notifiers.append(notifier)
        self._notifier_tasks.append(self._loops.create_task(notifier.run()))

    def _sort_again(self, table: Directory) -> None:
        waiting = [user_id for notifier in self._notifiers for user_id in notifier.waiting_users]
        for index, notifier in enumerate(self._notifiers):
            own = [user_id for user_id in waiting if table.owner(user_id) == index]
            if own:
                notifier.tell(own, (), self._number)

    async def _in_stream_thread(self, call: Callable[[], T]) -> T:
        with self.steps.step("the change stream", STEP_SECONDS_MAX):
            return await asyncio.get_running_loop().run_in_executor(self._stream_thread, call)
