"""How far journals go beyond the marks, as far as this process knows: a gap before that is one.

No query of reasonable cost tells of many users whether entries follow a gap: the numbers between
are unknown. But entries behind the marks are few and new. Those that are there when a process
begins are found by their instants, and of what comes later the process is the writer, or reads it.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from pymongo.client_session import ClientSession

from actors.mongo.accounts.leases import oldest_mark
from actors.mongo.accounts.marks import read_marks
from actors.mongo.embedded_wire import Documents
from actors.mongo.instants import UNIX_START
from actors.protocol.store import LATE_APPEND
from domain.documents.journal import place_of
from domain.values import UserId

END = datetime(9999, 1, 1, tzinfo=UTC)
MARKS_PER_QUERY_MAX = 2_000

Place = tuple[UserId, int]
"""A user and the number of an entry."""


class Tails:
    """The newest entry of each user that is durable and in no view. Thread-safe."""

    def __init__(self, database: Documents) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._newest: dict[UserId, int] = {}
        self._let_go: dict[int, set[UserId]] = {}
        """Of each reading under way, who was let go since it began: what it brings of them is old."""
        self.is_listed = False
        """Whether what others have written is known."""

    def begin(self) -> None:
        """Have what is there listed again before the next load: others may have written until now."""
        self.is_listed = False

    def list_all(self, session: ClientSession | None) -> None:
        """Learn of all that is there behind the marks. Raises PyMongoError."""
        clean_until = oldest_mark(self._database.allotment_shards) or UNIX_START
        self.entries_from(max(clean_until - LATE_APPEND, UNIX_START), END, session)
        self.is_listed = True

    def entries_from(
        self, since: datetime, until: datetime, session: ClientSession | None = None
    ) -> list[Place]:
        """Return whose entries were made in a half-open span, and learn of those behind the marks.

        An index scan by `at`. Raises PyMongoError.
        """
        where = {"at": {"$gte": since, "$lt": until}}
        with self.reading() as let_go:
            found = self._database.allotment_journal.find(where, {"_id": 1}, session=session)
            places = [place for place in map(place_of, found) if place is not None]
            newest = _newest(places)
            users = list(newest)
            for start in range(0, len(users), MARKS_PER_QUERY_MAX):
                part = users[start : start + MARKS_PER_QUERY_MAX]
                marks = read_marks(self._database, part, session)
                behind = ((u, newest[u]) for u in part if newest[u] > marks.get(u, 0))
                self.saw(place for place in behind if place[0] not in let_go)
        return places

    @contextlib.contextmanager
    def reading(self) -> Iterator[AbstractSet[UserId]]:
        """Yield who is let go from now on until the end of the block."""
        let_go: set[UserId] = set()
        with self._lock:
            self._let_go[id(let_go)] = let_go
        try:
            yield let_go
        finally:
            with self._lock:
                del self._let_go[id(let_go)]

    def let_go(self, user_id: UserId) -> None:
        """Forget a user: whoever comes under this id is somebody new."""
        with self._lock:
            self._newest.pop(user_id, None)
            for let_go in self._let_go.values():
                let_go.add(user_id)

    def of(self, user_ids: Sequence[UserId]) -> dict[UserId, int]:
        """Return the number of the newest entry of those of whom it is known."""
        with self._lock:
            return {u: self._newest[u] for u in user_ids if u in self._newest}

    def saw(self, places: Iterable[Place]) -> None:
        """Learn of entries that a majority has, and that no view may contain yet."""
        newest = _newest(places)
        with self._lock:
            for user_id, seq in newest.items():
                self._newest[user_id] = max(seq, self._newest.get(user_id, 0))

    def written(self, marks: Mapping[UserId, int]) -> None:
        """Learn up to which entry the views of users contain their journals."""
        with self._lock:
            for user_id, mark in marks.items():
                if self._newest.get(user_id, mark + 1) <= mark:
                    del self._newest[user_id]


def _newest(places: Iterable[Place]) -> dict[UserId, int]:
    newest: dict[UserId, int] = {}
    for user_id, seq in places:
        newest[user_id] = max(seq, newest.get(user_id, 0))
    return newest
