"""Changes that other programs made: how the stream tells of them, and how shards are told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from actors.protocol.store import Moment, StoreError
from domain.values import UserId

Token = Mapping[str, Any]
"""A resume token: a position in the change stream. Only the database reads it."""


class HistoryLostError(StoreError):
    """The stream cannot be taken up where it was left, or has left something out."""


class Beat(NamedTuple):
    """A write of our own, seen in the stream: whatever was written before it has been seen."""

    number: int
    sender: str
    sent: float
    """On the sender's clock, taken before the beat was written."""


class StreamedChange(NamedTuple):
    """One event of the stream."""

    token: Token
    users: tuple[UserId, ...] = ()
    """Whose account the document belongs to now."""
    document_id: str | None = None
    """Where the account may have been somebody else's before: only its shard knows whose."""
    beat: Beat | None = None
    unreadable: str | None = None
    """Why nobody can be told, although somebody should be."""
    moment: Moment | None = None
    """When it was written, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the stream was, and the last beat before it."""

    token: Token
    beat: int


class ChangeSource(Protocol):
    """The stream in the database. Every call blocks and may raise StorageUnavailableError."""

    def stored(self) -> Position | None:
        """Return the position that was stored last. HistoryLostError: it makes no sense."""

    def open(self, position: Position | None) -> None:
        """Open the stream there, or from now on. Raises HistoryLostError."""

    def take(self) -> Sequence[StreamedChange]:
        """Return what has arrived, or wait for a while. Raises HistoryLostError."""

    def close(self) -> None:
        """Close the stream, if it is open."""

    def newest_beat(self) -> int:
        """Return the number of the newest beat that was written; 0 before the first."""

    def moment(self) -> Moment | None:
        """Return one not before the open stream's beginning; None: the database has no clock."""

    def beat(self, sender: str, sent: float, position: Position | None) -> None:
        """Write the next beat, and store the position with it."""
