"""What a delivery is: a handler, an event on its way, what may go wrong, how long to wait."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from actors.events.records import OrderedEvent
from actors.runtime.backoff import backoff

RETRY_SECONDS_MIN = 0.5  # Pause after a first failure; doubled each time,
RETRY_SECONDS_MAX = 300.0  # up to here.
PROBE_SECONDS_MAX = 5.0  # The same, for a handler that is down.
ERROR_LENGTH_MAX = 500
DOWN_AFTER = 5  # Failures in a row after which a handler counts as down.
FRESH = timedelta(seconds=2)  # An event that was read so lately is as it was read.
ATTEMPT_SECONDS_MAX = 15.0  # How long most handlers may take for one event.


class DeliveryError(Exception):
    """The handler could not take the event now. The message is for operators, without secrets."""

    @property
    def shown(self) -> str:
        """The message, as long as it is kept."""
        return str(self)[:ERROR_LENGTH_MAX]


class RefusedDeliveryError(DeliveryError):
    """The handler says that it will not take this event, whenever it comes."""


class Handler(Protocol):
    """What is done with events."""

    name: str
    newest_only: bool
    """Of a user's events that wait, the last one says all: the others need not be taken."""
    seconds_max: float
    """How long it may take for one event."""

    def wants(self, event: OrderedEvent) -> bool:
        """Say whether the event concerns this handler."""

    async def handle(self, event: OrderedEvent) -> None:
        """Take an event. DeliveryError: not now. It may come more than once."""


@dataclass(slots=True)
class HandlerHealth:
    """How a handler does."""

    delivered: int = 0
    failures: int = 0
    dead: int = 0
    failures_in_a_row: int = 0
    last_success_at: datetime | None = None
    last_error: str | None = None

    @property
    def is_down(self) -> bool:
        return self.failures_in_a_row >= DOWN_AFTER

    def succeed(self, at: datetime) -> None:
        """Note that an event was taken."""
        self.failures_in_a_row = 0
        self.delivered += 1
        self.last_success_at = at

    def fail(self, error: str, *, refused: bool) -> None:
        """Note that an event was not taken. One that refuses an event is there, and may take others."""
        self.last_error = error
        self.failures += 1
        self.failures_in_a_row = 0 if refused else self.failures_in_a_row + 1


@dataclass(slots=True, eq=False)
class HeldEvent:
    """An event on its way."""

    event: OrderedEvent
    again: bool = False
    """It is delivered again because somebody asked."""
    attempts: int = 0
    error: str | None = None
    since: datetime | None = None
    """When it was read; None: so long ago that it may be gone."""
    under_way: bool = False
    """Its handler has it just now."""

    def is_old(self, now: datetime) -> bool:
        """Say whether much may have happened to it since it was read."""
        return self.attempts > 1 or self.since is None or now - self.since > FRESH

    def is_outdated_by(self, other: "HeldEvent") -> bool:
        """Say whether another event of its user that waits tells of later."""
        return not self.again and not other.again and self.event.seq < other.event.seq


def pause(attempt: int, longest: float) -> float:
    """Return seconds to wait after an attempt: doubled each time, with jitter."""
    return backoff(attempt - 1, RETRY_SECONDS_MIN, longest)
