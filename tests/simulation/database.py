"""The database of a simulation: the store in memory, with faults by dice and a change stream.

Whatever becomes durable is told to `watcher` at that instant. Faults are shares of calls between
0 and 1; `heal` sets them to nothing.
"""

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, Protocol

from actors.cluster.resharding import Plan
from actors.protocol.directory import Directory, SeenTable
from actors.protocol.store import (
    AppendInDoubtError,
    AppendRefusedError,
    Moment,
    StorageUnavailableError,
    ViewsTakenError,
)
from actors.sync.changes import Beat, HistoryLostError, Position, StreamedChange
from domain.documents.journal import entry_id
from domain.documents.recovery import Stored
from domain.documents.views import AccountViews
from domain.messages import Entry
from domain.recalls import NOTHING_BESIDE, Recalls
from domain.values import UserId
from tests.simulation.elections import Elections
from tests.simulation.majority import ReplicatedStore
from tests.simulation.virtual_time import PROCESS, VirtualLoop

LATE_SECONDS_MAX = 8.0  # An append that was given up lands within so many seconds.
AWAIT_SECONDS = 0.2  # A stream that has nothing waits so long.


@dataclass
class Faults:
    """Shares of calls that meet a fault."""

    lost_answers: float = 0.0
    """The append is done, and its caller told that nobody knows."""
    lost_appends: float = 0.0
    late_appends: float = 0.0
    refused_appends: float = 0.0
    unavailable: float = 0.0
    lost_views: float = 0.0
    """The views are not written, or written and nobody is told."""
    silent_losses: float = 0.0
    """The stream leaves a foreign change out, and the beat after it."""
    lost_history: float = 0.0
    stream_breaks: float = 0.0
    stream_lag: float = 0.0
    """Seconds by which the stream is behind, at most."""


class Watcher(Protocol):
    """Is told what has become durable."""

    def landed(self, entries: Sequence[Entry], *, late: bool) -> None:
        """Note that entries are in the journal; `late`: after their writer was told that nobody knows."""

    def is_stray(self) -> bool:
        """Say whether what is written now comes from a process that is not the owner."""

    def confirmed(self, entries: Sequence[Entry], *, stray: bool) -> None:
        """Note that a majority has entries that were written, and in doubt, before."""

    def viewed(self, user_ids: Sequence[UserId]) -> None:
        """Note that the views of these users were brought forward."""


class SimulatedStore(ReplicatedStore):
    """The store in memory. Every call may fail in each way that its protocol allows."""

    def __init__(self, loop: VirtualLoop, dice: random.Random, watcher: Watcher) -> None:
        super().__init__()
        self.faults = Faults()
        self.elections = Elections(loop, dice)
        self._loop = loop
        self._dice = dice
        self._watcher = watcher

    def heal(self) -> None:
        self.end_stall(rolled_back=self.is_stalled and self.strikes(0.5))
        self.faults = Faults()
        self._loop.share_of_slow_calls = 0.0

    def strikes(self, share: float) -> bool:
        return self._dice.random() < share

    def enter(self, call: str) -> None:
        super().enter(call)
        if self.strikes(self.faults.unavailable):
            raise StorageUnavailableError(call) from ConnectionError("a fault was rolled")

    def append(self, entries: Sequence[Entry]) -> None:
        self.enter("append")
        try:
            self._append_or_fail(entries)
        except (AppendRefusedError, AppendInDoubtError):
            self.doubt()
            raise

    def _append_or_fail(self, entries: Sequence[Entry]) -> None:
        if self.strikes(self.faults.refused_appends):
            rest = self._land_some(entries)
            raise AppendRefusedError("a fault was rolled", len(entries) - len(rest))
        if self.strikes(self.faults.lost_appends):
            self._land_some(entries)
            raise AppendInDoubtError("lost")
        if self.strikes(self.faults.late_appends):
            rest = self._land_some(entries)
            # Often at once: amid what its writer does about it.
            after = self._dice.uniform(0, self._dice.choice((0.01, 0.01, LATE_SECONDS_MAX)))
            landed = entries[: len(entries) - len(rest)]
            self._loop.call_later(after, self._land_late, rest, landed)
            raise AppendInDoubtError("lands later")
        self._land(entries)
        if self.is_stalled:
            raise AppendInDoubtError("no majority has it")
        if self.strikes(self.faults.lost_answers):
            raise AppendInDoubtError("landed")
        self.elections.know()

    def _land(self, entries: Sequence[Entry], *, late: bool = False) -> None:
        """Enter in order, up to what is refused, and tell of what has landed."""
        landed = list(takewhile(self._enter, entries))
        if self.is_stalled:
            stray = late or self._watcher.is_stray()
            self.note_unconfirmed(lambda: self._watcher.confirmed(landed, stray=stray))
        else:
            self._watcher.landed(landed, late=late)
        if len(landed) < len(entries):
            raise AppendRefusedError("taken", len(landed))

    def _land_some(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Enter those that an insert has done which is refused, or lost on its way; return the others."""
        some = self._dice.randrange(len(entries))
        self._land(entries[:some])
        return entries[some:]

    def _land_late(self, entries: Sequence[Entry], before: Sequence[Entry]) -> None:
        """Land what is left of an insert: where its beginning is, for it is that server's."""
        if any(self.journal.get(entry_id(e.user_id, e.seq)) is not e for e in before):
            return  # Another primary has been elected that does not have it.
        token = PROCESS.set(None)
        with contextlib.suppress(AppendRefusedError):
            self._land(entries, late=True)
        PROCESS.reset(token)

    def write_views(self, views: Sequence[AccountViews]) -> None:
        lost = self.strikes(self.faults.lost_views)
        if lost and self._dice.random() < 0.5:
            raise StorageUnavailableError("lost") from ConnectionError("a fault was rolled")
        self._write_views(views)
        users = [view.user_id for view in views]
        if self.is_stalled:
            self.note_unconfirmed(lambda: self._watcher.viewed(users))
            raise StorageUnavailableError("no majority") from ConnectionError("it stalls")
        self._watcher.viewed(users)
        if lost:
            raise StorageUnavailableError("landed") from ConnectionError("a fault was rolled")
        self.elections.know()

    def _write_views(self, views: Sequence[AccountViews]) -> None:
        """Write; where views were moved that no majority has moved, nobody can say how far."""
        try:
            super().write_views(views)
        except ViewsTakenError:
            self.elections.notice()
            with self.reading():
                marks = {view.user_id: self.mark_of(view.user_id) for view in views}
            if self.is_stalled and all(marks[v.user_id] == v.after_seq for v in views):
                raise StorageUnavailableError("moved") from ConnectionError("no majority")
            raise ViewsTakenError(marks) from None

    def load(
        self, user_ids: Sequence[UserId], now: datetime, recalls: Recalls = NOTHING_BESIDE
    ) -> list[Stored]:
        with self.reading():
            return super().load(user_ids, now, recalls)

    def find_entries(self, commands: Sequence[tuple[UserId, str]]) -> list[Entry]:
        with self.reading():
            return super().find_entries(commands)

    def appended_since(self, since: datetime, until: datetime) -> set[UserId]:
        with self.reading():
            return super().appended_since(since, until)

    def clean_until(self) -> datetime | None:
        with self.reading():
            return super().clean_until()

    def mark_of(self, user_id: UserId) -> int:
        """Return up to which entry the views contain the journal."""
        return self._marks.get(user_id, 0)

    def doubt(self) -> None:
        super().doubt()
        self.elections.know()

    def hear(self, moment: Moment) -> None:
        self.elections.hear(moment)

    def _shown(self, *, causally: bool) -> dict[str, Any] | None:
        past = self.elections.seen(causally=causally)
        return super()._shown(causally=causally) if past is None else past

    def read_table(self) -> Directory | None:
        self.enter("directory")
        return self.seen_table()

    def table_at_start(self) -> Directory | None:
        """Return the table as a process reads it that has written something just before."""
        self.enter("directory")
        with self.as_of_majority(causally=True):
            return self.table

    def see_table(self) -> SeenTable | None:
        """Return the table as a process reads it, and by when it was there."""
        self.enter("directory")
        moment = self.elections.seen_moment()
        table = self.seen_table()
        return None if table is None else SeenTable(table, moment)

    def seen_table(self) -> Directory | None:
        """Return the table that a majority has."""
        with self.as_of_majority():
            return self.table

    def seen_plan(self) -> Plan | None:
        """Return the plan that a majority has."""
        with self.as_of_majority():
            return self.plan

    def begin_mark(self, shard: str) -> None:
        super().begin_mark(shard)
        self.confirm("begin_mark")

    def end_mark(self, shard: str) -> None:
        super().end_mark(shard)
        self.confirm("end_mark")


class SimulatedStream:
    """What `edits` tells, and the beats between. A position is the number of an event."""

    def __init__(self, store: SimulatedStore, loop: VirtualLoop, dice: random.Random) -> None:
        self._store = store
        self._loop = loop
        self._dice = dice
        self._events: list[tuple[float, Callable[[int], StreamedChange]]] = []
        self._beats = 0
        self._position: Position | None = None
        self._oldest = 0
        self._is_opening = False  # A change that is lost at that moment cannot be noticed.
        self.lost_silently = 0

    def changed(self, collection: str, document: dict[str, Any], kind: str) -> None:
        """Tell of another program's change. The owner is looked up when the stream is read."""
        if not self._is_opening and self._dice.random() < self._store.faults.silent_losses:
            self._beats += 1
            self.lost_silently += 1
            return
        document_id = str(document["_id"])

        moment = self._store.elections.moment()

        def read(number: int) -> StreamedChange:
            change = StreamedChange({"next": number}, document_id=document_id, moment=moment)
            found = None if kind == "delete" else self._owner(collection, document_id)
            if found is None:
                return change
            replaced = document_id if kind == "replace" else None
            return change._replace(users=(found,), document_id=replaced)

        self._put(read)

    def _owner(self, collection: str, document_id: str) -> UserId | None:
        documents = self._store.collections[collection].values()
        found = [d for d in documents if str(d["_id"]) == document_id]
        if found and collection == "dailycredits":
            subscription = self._store.collections["subscriptions"].get(found[0]["subscription_id"])
            found = [subscription] if subscription else []
        return UserId(found[0]["user_id"]) if found else None

    def _put(self, read: Callable[[int], StreamedChange]) -> None:
        lag = self._dice.uniform(0, self._store.faults.stream_lag)
        earliest = self._events[-1][0] if self._events else 0.0
        self._events.append((max(earliest, self._loop.time() + lag), read))

    def stored(self) -> Position | None:
        self._store.enter("stored")
        return self._position

    def open(self, position: Position | None) -> int:
        """Return the number of the event that is read next."""
        self._store.enter("open")
        if self._dice.random() < self._store.faults.lost_history:
            self._oldest = len(self._events) + 1
        start = len(self._events) if position is None else int(position.token["next"])
        if position is not None and start < self._oldest:
            raise HistoryLostError("286")
        self._is_opening = position is None
        return start

    def take(self, number: int) -> Sequence[StreamedChange]:
        """Return what is there from this event on."""
        if self._dice.random() < self._store.faults.stream_breaks:
            raise StorageUnavailableError("broken") from ConnectionError("a fault was rolled")
        if self._dice.random() < self._store.faults.lost_history / 10:
            self._oldest = len(self._events) + 1
            raise HistoryLostError("286")
        now, taken = self._loop.time(), []
        while number < len(self._events) and self._events[number][0] <= now:
            number += 1
            taken.append(self._events[number - 1][1](number))
        if not taken:
            self._loop.linger(AWAIT_SECONDS)
        return taken

    def moment(self) -> Moment:
        return self._store.elections.moment()

    def newest_beat(self) -> int:
        self._store.enter("newest_beat")
        self._is_opening = False
        return self._beats

    def beat(self, sender: str, sent: float, position: Position | None) -> None:
        self._store.enter("beat")
        self._beats += 1
        beat, moment = Beat(self._beats, sender, sent), self._store.elections.moment()
        if position is not None:
            self._position = position
        self._put(lambda number: StreamedChange({"next": number}, beat=beat, moment=moment))


class SimulatedReader:
    """The `ChangeSource` of one process: what a dead one still reads moves nobody else's place."""

    def __init__(self, stream: SimulatedStream) -> None:
        self._stream = stream
        self._next = 0
        self.stored = stream.stored
        self.newest_beat = stream.newest_beat
        self.beat = stream.beat
        self.moment = stream.moment

    def open(self, position: Position | None) -> None:
        self._next = self._stream.open(position)

    def take(self) -> Sequence[StreamedChange]:
        taken = self._stream.take(self._next)
        self._next += len(taken)
        return taken

    def close(self) -> None:
        pass


def documents_of(store: SimulatedStore, collection: str, user_id: str) -> list[dict[str, Any]]:
    """Return the documents of a user in a collection."""
    return [d for d in store.collections[collection].values() if d.get("user_id") == user_id]
