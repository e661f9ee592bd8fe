"""Whether the time is certain enough for what cannot be undone: to write down ends, to forget keys.

It is not where the database's clock shows another day, and where more than a day has passed since
the service last looked: a clock that has jumped ahead and a service that was stopped for so long
look alike. Then an operator says so (`allotment accept-clock`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from actors.runtime.steady_time import JUMP_MAX


class ClockInDoubtError(Exception):
    """What cannot be undone waits. The message is a sentence for an operator."""


@dataclass(frozen=True, slots=True)
class Witness:
    """What others say about the time."""

    database: datetime | None
    """The time of the database's server; None: it tells none."""
    looked_at: datetime | None
    """When the service, or an operator, last found its own time to be right; None: never."""


class Witnesses(Protocol):
    """Asked for the time. Every call blocks; may raise StorageUnavailableError."""

    def ask(self) -> Witness:
        """Return what is known."""

    def note(self, now: datetime) -> None:
        """Keep that this time was found to be right."""


def check_time(witnesses: Witnesses, now: datetime) -> None:
    """Return where the time is certain. Blocks; raises ClockInDoubtError."""
    witness = witnesses.ask()
    if witness.database is not None and abs(now - witness.database) > JUMP_MAX:
        raise ClockInDoubtError(
            f"This machine's clock shows {now:%Y-%m-%d %H:%M}, that of the database"
            f" {witness.database:%Y-%m-%d %H:%M}: set right the one that is wrong."
        )
    if witness.looked_at is not None and now - witness.looked_at > JUMP_MAX:
        raise ClockInDoubtError(
            f"It is {now:%Y-%m-%d %H:%M}, and the service last looked at"
            f" {witness.looked_at:%Y-%m-%d %H:%M}. If the clock is right, `allotment accept-clock`"
            " says so; until then no end is written down and no old entry removed."
        )
    witnesses.note(now)
