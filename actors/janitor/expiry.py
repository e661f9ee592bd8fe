"""Writes down which subscriptions have ended: `checkAndUpdateExpiredSubscriptions`.

MongoDB names them; the shard that owns the user decides, by its own view of the account and
under a key made of subscription and end. So one end is written once, by however many janitors,
and whether or not the user is in RAM.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from actors.protocol.calls import Call, Calls, Outcome, Reply, service_call
from actors.protocol.errors import UnavailableError
from actors.protocol.expiry import JANITOR
from actors.protocol.reports import Findings
from domain.messages import ExpireSubscription
from domain.values import UserId

T = TypeVar("T")

ENDED_PAGE = 500  # Subscriptions expired together.


@dataclass(frozen=True, slots=True)
class Ended:
    """A subscription whose document has a current status and an end that has passed."""

    user_id: UserId
    subscription_id: str
    end: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of what is over, how many documents could not be read, and where to go on."""

    items: Sequence[T]
    unreadable: int
    cursor: object | None


class EndedSubscriptions(Protocol):
    """Names ended subscriptions. Every call blocks; may raise StorageUnavailableError."""

    def ended(self, now: datetime, limit: int, cursor: object | None) -> Page[Ended]:
        """Return a page of about `limit` subscriptions with an end up to `now`."""


class Expiry:
    """The job that expires subscriptions."""

    def __init__(
        self, subscriptions: EndedSubscriptions, router: Calls, clock: Callable[[], datetime]
    ) -> None:
        self._subscriptions = subscriptions
        self._router = router
        self._clock = clock

    async def run(self, due: datetime) -> Findings:
        """Expire what has ended. Raises StorageUnavailableError, UnavailableError."""
        now = self._clock()
        found, written = await expire_pages(
            lambda cursor: self._subscriptions.ended(now, ENDED_PAGE, cursor),
            lambda ended: self._expire(ended, due),
        )
        found.expired = written
        return found

    async def _expire(self, ended: Sequence[Ended], due: datetime) -> list[Reply]:
        return await expire_each(self._router, ended, expire_call, due)


async def expire_each(
    router: Calls, ended: Sequence[T], call: Callable[[T, str], Call], due: datetime
) -> list[Reply]:
    """Expire what has ended; `call`: the call that does so, with a suffix to its key."""
    replies = await router.calls([call(one, "") for one in ended])
    # One that expired at this very end before was made current since, by another program:
    # it expires again, under a key of this run.
    again = [place for place, reply in enumerate(replies) if reply.replayed]
    repeated = [call(ended[place], f" {due:%Y%m%dT%H%M%SZ}") for place in again]
    for place, reply in zip(again, await router.calls(repeated), strict=True):
        replies[place] = reply
    return replies


async def expire_pages(
    read: Callable[[object | None], Page[T]],
    expire: Callable[[Sequence[T]], Awaitable[Sequence[Reply]]],
) -> tuple[Findings, int]:
    """Expire page after page; return what was found, and how much was written down now.

    `read` blocks. Raises what it raises, and UnavailableError.
    """
    found, cursor, lost, written = Findings(), None, False, 0
    while True:
        page = await asyncio.to_thread(read, cursor)
        found.checked += len(page.items) + page.unreadable
        found.quarantined += page.unreadable
        replies = await expire(page.items)
        written += sum(r.outcome is Outcome.DONE and not r.replayed for r in replies)
        lost = lost or any(r.outcome > Outcome.REFUSED for r in replies)
        if page.cursor is None:
            break
        cursor = page.cursor
    if lost:  # The others are expired; the run is repeated for those.
        raise UnavailableError
    return found, written


def expire_call(ended: Ended, suffix: str = "") -> Call:
    """Return the call that expires a subscription, once for this end (and suffix)."""
    key = f"expire {ended.subscription_id} {in_key(ended.end)}{suffix}"
    command = ExpireSubscription(ended.user_id, ended.subscription_id)
    return service_call(command, key, JANITOR)


def in_key(moment: datetime) -> str:
    """Return an end as the keys of expiries name it."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
