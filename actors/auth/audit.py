"""Which administrative act was asked for when, and with which key: kept beyond the journal's days.

An act is written down before it is done, and what became of it afterwards: one that cannot be written
down is not done, and one that was interrupted stays `asked`. Nothing of this is on a charge's way.
"""

import getpass
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count
from typing import Protocol

from pydantic import BaseModel, Field

from domain.values import UserId

START = "start"
"""Who makes the first key."""
NUMBERS_MAX = 2**16
_counter = count()
"""What tells this process's acts of one millisecond apart, in their order."""


class ActOutcome(StrEnum):
    """What became of an act."""

    ASKED = "asked"
    """It was interrupted, or goes on: it may have been done."""
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    """It may have been done all the same."""


@dataclass(frozen=True, slots=True)
class Act:
    """An administrative act."""

    act_id: str
    """24 hex digits, in the order of their instants."""
    at: datetime
    by: str
    """`key:` and the key's id, `command:` and a login, or `start`."""
    action: str
    """Method and path of an operation, or a command: `POST /admin/keys`, `keys create`."""
    target: str | None = None
    """The id of what it is about: a key, a subscription, an event, an endpoint."""
    user_id: UserId | None = None
    """The user it is about."""
    made: str | None = None
    """The id of the key, or the endpoint, that it has made."""
    outcome: ActOutcome = ActOutcome.ASKED


class Audit(Protocol):
    """Where acts are kept. Every call blocks; may raise StorageUnavailableError."""

    def begin(self, act: Act) -> None:
        """Keep an act that is about to be done."""

    def finish(
        self,
        act_id: str,
        outcome: ActOutcome,
        made: str | None = None,
        now_called: UserId | None = None,
    ) -> None:
        """Keep what became of it; `now_called`: the id that its user has from then on."""

    def page(self, limit: int, before: str | None, by: str | None) -> Sequence[Act]:
        """Return acts, newest first: those before an act, and of one caller, where that is told."""


class ActRecord(BaseModel):
    """An administrative act, as it is shown."""

    act_id: str = Field(examples=["019cd7d0a4005f0c91ab7d21"])
    at: datetime = Field(examples=["2026-03-10T12:00:00Z"])
    by: str = Field(examples=["key:5f0c91ab"])
    action: str = Field(examples=["POST /admin/keys/{key_id}/rotate"])
    target: str | None = Field(examples=["91c2a7d0"])
    user_id: str | None = Field(examples=[None])
    made: str | None = Field(examples=["77ab01ce"])
    outcome: ActOutcome = Field(examples=["done"])


class ActPage(BaseModel):
    """A page of acts, newest first."""

    items: list[ActRecord]
    next_cursor: str | None = Field(examples=[None])


def make_act(  # noqa: PLR0913 - what an act says
    at: datetime,
    by: str,
    action: str,
    *,
    target: str | None = None,
    user_id: UserId | None = None,
    made: str | None = None,
    outcome: ActOutcome = ActOutcome.ASKED,
) -> Act:
    """Return a new act. Ids are in the order of time; of one millisecond, in that of one process."""
    milliseconds, number = int(at.timestamp() * 1000), next(_counter) % NUMBERS_MAX
    act_id = f"{milliseconds:012x}{number:04x}{secrets.token_hex(4)}"
    return Act(act_id, at, by, action, target, user_id, made, outcome)


def made_at(act_id: str) -> datetime:
    """Return when an act was made, as its id says; what is no id of ours says 1970."""
    try:
        return datetime.fromtimestamp(int(act_id[:12], 16) / 1000, UTC)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(0, UTC)


def by_command() -> str:
    """Return how the acts of a command are signed: with who is logged in on this machine."""
    try:
        return f"command:{getpass.getuser()}"
    except (OSError, KeyError):  # A container's user may have no name.
        return "command:unknown"
