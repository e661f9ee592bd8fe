"""Writes down which holds are over whose accounts no shard has in RAM, after a restart above all.

MongoDB names the days; the shard that owns the user decides, under the key that its own timer
uses, so that a hold expires once.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from actors.calls import Outcome
from actors.expiring import Calls
from actors.failures import UnavailableError
from actors.hold_expiry import expire_call
from actors.reports import Findings
from domain.values import UserId

OVERDUE_PAGE = 500  # Days whose holds are expired together.


@dataclass(frozen=True, slots=True)
class OverdueHold:
    """A hold that its document still has, although it is over."""

    user_id: UserId
    subscription_id: str
    hold_id: str


@dataclass(frozen=True, slots=True)
class OverduePage:
    """Some overdue holds, how many days could not be read, and where to go on."""

    holds: Sequence[OverdueHold]
    unreadable: int
    cursor: object | None


class OverdueHolds(Protocol):
    """Names overdue holds. Every call blocks; may raise StorageUnavailableError."""

    def overdue_holds(self, now: datetime, limit: int, cursor: object | None) -> OverduePage:
        """Return the holds of about `limit` days that were over at `now`."""


class HoldsExpiry:
    """The part of the expiring job that is about holds."""

    def __init__(self, holds: OverdueHolds, router: Calls, clock: Callable[[], datetime]) -> None:
        self._holds = holds
        self._router = router
        self._clock = clock

    async def run(self, _due: datetime) -> Findings:
        """Expire what is overdue. Raises StorageUnavailableError, UnavailableError."""
        found, now, cursor, lost = Findings(), self._clock(), None, False
        while True:
            page = await asyncio.to_thread(self._holds.overdue_holds, now, OVERDUE_PAGE, cursor)
            found.checked += len(page.holds) + page.unreadable
            found.quarantined += page.unreadable
            calls = [expire_call(h.user_id, h.hold_id, h.subscription_id) for h in page.holds]
            replies = await self._router.calls(calls)
            found.holds_expired += sum(
                r.outcome is Outcome.DONE and not r.replayed for r in replies
            )
            lost = lost or any(r.outcome > Outcome.REFUSED for r in replies)
            if page.cursor is None:
                break
            cursor = page.cursor
        if lost:  # The others are expired; the run is repeated for those.
            raise UnavailableError
        return found
