"""Writes down which holds are over whose accounts no shard has in RAM, after a restart above all.

MongoDB names the days and packs; the shard that owns the user decides, under the key that its own timer
uses, so that a hold expires once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from actors.janitor.expiry import Page, expire_pages
from actors.protocol.calls import Call, Calls, Reply
from actors.protocol.expiry import JANITOR, expire_call
from actors.protocol.reports import Findings
from domain.values import UserId

OVERDUE_PAGE = 500  # Days or packs whose holds are expired together.


@dataclass(frozen=True, slots=True)
class OverdueHold:
    """A hold that its document still has, although it is over."""

    user_id: UserId
    subscription_id: str | None
    """Whose day has it; None: a pack has."""
    hold_id: str


class OverdueHolds(Protocol):
    """Names overdue holds. Every call blocks; may raise StorageUnavailableError."""

    def overdue_holds(self, now: datetime, limit: int, cursor: object | None) -> Page[OverdueHold]:
        """Return the holds of about `limit` days or packs that were over at `now`."""


class HoldsExpiry:
    """The part of the expiring job that is about holds."""

    def __init__(self, holds: OverdueHolds, router: Calls, clock: Callable[[], datetime]) -> None:
        self._holds = holds
        self._router = router
        self._clock = clock

    async def run(self, _due: datetime) -> Findings:
        """Expire what is overdue. Raises StorageUnavailableError, UnavailableError."""
        now = self._clock()

        async def expire(holds: Sequence[OverdueHold]) -> Sequence[Reply]:
            return await self._router.calls([_call(hold) for hold in holds])

        found, written = await expire_pages(
            lambda cursor: self._holds.overdue_holds(now, OVERDUE_PAGE, cursor), expire
        )
        found.holds_expired = written
        return found


def _call(hold: OverdueHold) -> Call:
    name = hold.subscription_id
    return expire_call(hold.user_id, hold.hold_id, name, of_packs=name is None, by=JANITOR)
