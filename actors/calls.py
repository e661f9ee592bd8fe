"""What clients and shards say to each other: plain tuples, cheap to pickle."""

from enum import IntEnum
from typing import NamedTuple

from domain.messages import Command, Refusal
from domain.values import UserId


class Outcome(IntEnum):
    """What became of a call."""

    DONE = 0
    REFUSED = 1
    OVERLOADED = 2
    """A queue was full. Nothing was written; try again later."""
    UNAVAILABLE = 3
    """The database did not answer. It may have been written; repeat with the same key."""
    MOVED = 4
    """The user is not this shard's (now): read the directory again and follow it."""


class Call(NamedTuple):
    """One command under its idempotency key."""

    command: Command
    key: str
    keep_refusal: bool
    """A refusal is the key's answer too: the key is the caller's, or this is a repeat."""
    by: str | None = None
    """Who sends it, for the journal: it is no part of what the command says."""


class Reply(NamedTuple):
    """The answer to one call or one read."""

    outcome: Outcome
    body: bytes | None = None
    """The JSON text of the answer, where it is done."""
    refusal: Refusal | None = None
    replayed: bool = False
    """The key had its answer before; this is that answer."""


class Envelope(NamedTuple):
    """What arrives together at one shard, under one version of the directory."""

    version: int
    calls: tuple[Call, ...] = ()
    status_of: tuple[UserId, ...] = ()


OVERLOADED = Reply(Outcome.OVERLOADED)
UNAVAILABLE = Reply(Outcome.UNAVAILABLE)
MOVED = Reply(Outcome.MOVED)
