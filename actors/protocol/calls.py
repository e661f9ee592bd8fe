"""What clients and shards say to each other: plain tuples, cheap to pickle."""

from enum import IntEnum
from typing import NamedTuple

from domain.messages import Command, Refusal
from domain.values import UserId

SERVICE_KEY = "§"
"""How keys of the service's own begin: callers' are ASCII. Entries of older versions lack it.

Each of these commands says what is to be so, not what is to be done: one that was done under such a
former key finds it done.
"""


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


def service_call(command: Command, key: str, by: str) -> Call:
    """Return a call of the service's own, under a key that callers cannot send."""
    return Call(command, f"{SERVICE_KEY}{key}", keep_refusal=False, by=by)


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
