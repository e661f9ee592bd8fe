"""How shards are told what other programs changed in MongoDB."""

from typing import NamedTuple

from actors.protocol.store import Moment
from domain.values import UserId


class Stamp(NamedTuple):
    """A moment on a shard's own clock. It is given back to the shard with the next message."""

    incarnation: str
    at: float


class Changes(NamedTuple):
    """What one shard is told: whom to forget, and up to when it has been told everything."""

    version: int
    """Of the directory that named this shard the owner of the users."""
    users: tuple[UserId, ...] = ()
    documents: tuple[str, ...] = ()
    forget_all: bool = False
    age_seconds: float | None = None
    """How old the newest beat was when this was sent. None: more is still to be told."""
    stamp: Stamp | None = None
    """What the shard answered last: this message is younger than that."""
    moment: Moment | None = None
    """Not before anything that is told here was written: who reads it again reads no older state."""
