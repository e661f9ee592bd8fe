"""A change stream in memory, and shards that note what they are told."""

import threading
from collections.abc import Callable, Sequence

from actors.protocol.changes import Changes, Stamp
from actors.protocol.errors import ShardLostError
from actors.protocol.store import Moment, StorageUnavailableError
from actors.sync.changes import Beat, HistoryLostError, Position, StreamedChange
from domain.values import UserId

TAKE_SECONDS = 0.02


class MemoryChanges:
    """A `ChangeSource`. Positions are indexes of events."""

    def __init__(self) -> None:
        self.events: list[StreamedChange] = []
        self.position: Position | None = None
        """What was stored last."""
        self.unavailable = False
        self.refusals = 0
        """How often it was unavailable when it was asked."""
        self.opened: list[Position | None] = []
        self._beats = 0
        self._next: int | None = None
        self._forgotten = 0
        self._arrived = threading.Condition()

    def change(self, *users: str, document_id: str | None = None, unreadable: str = "") -> None:
        """Let another program change something."""
        named = tuple(UserId(user) for user in users)
        self._append(users=named, document_id=document_id, unreadable=unreadable or None)

    def lose_events(self, *users: str) -> None:
        """Let the stream leave a change out, and a beat with it."""
        self._beats += 1

    def forget_history(self) -> None:
        """Let no position of now be usable any more, the open stream's included."""
        with self._arrived:
            self._forgotten = len(self.events) + 1
            self._next = None

    def stored(self) -> Position | None:
        self._check()
        return self.position

    def open(self, position: Position | None) -> None:
        self._check()
        self.opened.append(position)
        with self._arrived:
            start = len(self.events) if position is None else int(position.token["next"])
            if position is not None and start < self._forgotten:
                raise HistoryLostError("286")
            self._next = start

    def take(self) -> Sequence[StreamedChange]:
        with self._arrived:
            stream = len(self.opened)
            self._arrived.wait_for(self._has_more, TAKE_SECONDS)
            self._check()
            if stream != len(self.opened):  # Another reader's stream is open by now.
                return []
            if self._next is None:
                raise HistoryLostError("286")
            taken = self.events[self._next :]
            self._next = len(self.events)
            return taken

    def close(self) -> None:
        self._next = None

    def newest_beat(self) -> int:
        self._check()
        return self._beats

    def moment(self) -> Moment | None:
        self._check()
        return (len(self.events), 0)

    def beat(self, sender: str, sent: float, position: Position | None) -> None:
        self._check()
        with self._arrived:
            self._beats += 1
            if position is not None:
                self.position = position
            self._append(beat=Beat(self._beats, sender, sent))

    def _append(
        self,
        users: tuple[UserId, ...] = (),
        document_id: str | None = None,
        beat: Beat | None = None,
        unreadable: str | None = None,
    ) -> None:
        with self._arrived:
            token = {"next": len(self.events) + 1}
            moment = (len(self.events) + 1, 0)
            self.events.append(StreamedChange(token, users, document_id, beat, unreadable, moment))
            self._arrived.notify_all()

    def _has_more(self) -> bool:
        return self._next is None or self._next < len(self.events)

    def _check(self) -> None:
        if self.unavailable:
            self.refusals += 1
            raise StorageUnavailableError from ConnectionError("a fault was asked for")


class NotingShards:
    """`FollowingShards` that note what each of them acknowledged."""

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.told: dict[int, list[Changes]] = {}
        self.down: set[int] = set()
        self.attempts = 0

    async def follow(self, index: int, changes: Changes) -> Stamp | None:
        self.attempts += 1
        if index in self.down:
            raise ShardLostError(str(index))
        if changes.version != self.version:
            return None
        self.told.setdefault(index, []).append(changes)
        return Stamp(f"shard {index}", float(len(self.told[index])))

    def users(self, index: int) -> list[str]:
        return [user for changes in self.told.get(index, []) for user in changes.users]

    def documents(self, index: int) -> list[str]:
        return [name for changes in self.told.get(index, []) for name in changes.documents]

    def forgot_all(self, index: int) -> int:
        return sum(changes.forget_all for changes in self.told.get(index, []))

    def ages(self, index: int) -> list[float]:
        told = self.told.get(index, [])
        return [changes.age_seconds for changes in told if changes.age_seconds is not None]


def owned_by(owner: Callable[[UserId], int], index: int, count: int) -> list[str]:
    """Return names of users that a shard owns."""
    names = (f"user-{number}" for number in range(100_000))
    found = [name for name in names if owner(UserId(name)) == index]
    return found[:count]
