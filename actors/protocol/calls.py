"""What clients and shards say to each other: plain tuples, cheap to pickle."""

import secrets
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from pydantic import TypeAdapter, ValidationError

from actors.protocol.errors import InvalidRequestError, OverloadedError, UnavailableError, refused
from domain.api.requests import IdempotencyKey
from domain.messages import Command, Refusal
from domain.values import UserId

SERVICE_KEY = "§"
"""How keys of the service's own begin: callers' are ASCII. Entries of older versions lack it.

Each of these commands says what is to be so, not what is to be done: one that was done under such a
former key finds it done.
"""
PYTHON = "python"  # How the journal names a program inside the cluster.
KEY: TypeAdapter[str] = TypeAdapter(IdempotencyKey)


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


def new_key() -> str:
    """Return an idempotency key nobody else has."""
    return f"auto-{secrets.token_hex(16)}"


def make_call(command: Command, key: str | None, by: str = PYTHON) -> Call:
    """Return the call of a command. Without a key of the caller's, a refusal is not kept.

    Raises InvalidRequestError. Keys that came over HTTP are checked there, and may have more parts.
    """
    if key is not None and by == PYTHON:
        key = checked_key(key)
    return Call(command, key or new_key(), keep_refusal=key is not None, by=by)


def checked_key(key: str) -> str:
    """Return an idempotency key that a caller may send. Raises InvalidRequestError."""
    try:
        return KEY.validate_python(key)
    except ValidationError as error:
        raise InvalidRequestError(f"key: {error.errors()[0]['msg']}") from error


def body_of(reply: Reply) -> bytes:
    """Return the JSON text of a reply that is done. Raises AllotmentError otherwise."""
    match reply.outcome:
        case Outcome.DONE:
            assert reply.body is not None, "what is done has an answer"
            return reply.body
        case Outcome.REFUSED:
            assert reply.refusal is not None, "what is refused has a reason"
            raise refused(reply.refusal)
        case Outcome.OVERLOADED:
            raise OverloadedError
        case _:
            raise UnavailableError


class Calls(Protocol):
    """The way of calls to the shards."""

    async def calls(self, calls: Sequence[Call]) -> list[Reply]:
        """Return the replies to many calls, in order."""
