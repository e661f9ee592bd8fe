"""Writes down what has lapsed of packs that have expired: nobody has to ask for it.

As with subscriptions, MongoDB names them and shards decide, under a key made of pack and expiry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from actors.janitor.expiry import ENDED_PAGE, Page, expire_each, expire_pages, in_key
from actors.protocol.calls import Call, Calls, service_call
from actors.protocol.expiry import JANITOR
from actors.protocol.reports import Findings
from domain.pack_messages import ExpirePack
from domain.values import UserId


@dataclass(frozen=True, slots=True)
class EndedPack:
    """A pack whose document has an expiry that has come and does not say so."""

    user_id: UserId
    pack_id: str
    expires_at: datetime


class EndedPacks(Protocol):
    """Names packs that have expired. Every call blocks; may raise StorageUnavailableError."""

    def ended_packs(self, now: datetime, limit: int, cursor: object | None) -> Page[EndedPack]:
        """Return a page of about `limit` packs with an expiry up to `now`."""


class PacksExpiry:
    """The part of the expiring job that is about packs."""

    def __init__(self, packs: EndedPacks, router: Calls, clock: Callable[[], datetime]) -> None:
        self._packs = packs
        self._router = router
        self._clock = clock

    async def run(self, due: datetime) -> Findings:
        """Expire what has come to its expiry. Raises StorageUnavailableError, UnavailableError."""
        now = self._clock()
        found, written = await expire_pages(
            lambda cursor: self._packs.ended_packs(now, ENDED_PAGE, cursor),
            lambda packs: expire_each(self._router, packs, expire_call, due),
        )
        found.expired = written
        return found


def expire_call(ended: EndedPack, suffix: str = "") -> Call:
    """Return the call that expires a pack, once for this expiry (and suffix)."""
    key = f"expire pack {ended.pack_id} {in_key(ended.expires_at)}{suffix}"
    return service_call(ExpirePack(ended.user_id, ended.pack_id), key, JANITOR)
