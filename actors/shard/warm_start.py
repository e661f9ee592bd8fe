"""Fills a shard's RAM from MongoDB behind the traffic, after a start and after a resync.

Pages of raw accounts are read in a thread of their own, and kept as they are. Who stays out is told
to `Filling`.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from actors.protocol.store import Moment, StorageUnavailableError
from actors.shard.accounts import Accounts
from actors.shard.dormant import AnyRawAccount, RawSource
from actors.shard.ownership import Ownership
from actors.shard.view_writer import ViewWriter
from domain.values import UserId

RETRY_SECONDS = 1.0  # Pause before the database is asked again.
PROGRESS_ACCOUNTS = 100_000  # A line in the log after so many.

logger = logging.getLogger(__name__)


class RawPage(NamedTuple):
    """Some accounts, complete, and the ids of their documents that do not carry their mark."""

    accounts: dict[UserId, AnyRawAccount]
    foreign_ids: dict[UserId, list[str]]


class Owned(NamedTuple):
    """One user's subscriptions as raw documents, and how documents spell the user."""

    user_id: UserId
    key: Any
    subscriptions: Sequence[bytes]


class Subscriptions(Protocol):
    """All subscriptions in the database, of which each shard wants those of its slots."""

    def of_slots(self, slots: Collection[int], moment: Moment | None) -> Generator[Sequence[Owned]]:
        """Yield them user by user, as they were at a moment of the database's clock or later.

        Blocks at each step; StorageUnavailableError. Closing it early ends what it holds.
        """


class WarmSource(RawSource, Protocol):
    """The accounts in the database."""

    def pages(self, slots: Collection[int], now: datetime) -> Generator[RawPage]:
        """Yield the accounts with a subscription that has not ended, of the users in these slots.

        Blocks at each step; StorageUnavailableError. Closing it early, which may block, ends what it
        holds of the database.
        """


class WarmStart:
    """Fills the dormant accounts of one shard."""

    def __init__(
        self,
        shard: str,
        accounts: Accounts,
        ownership: Ownership,
        views: ViewWriter,
        now: Callable[[], datetime],
    ) -> None:
        self._shard = shard
        self._accounts = accounts
        self._filling = accounts.filling
        self._ownership = ownership
        self._views = views
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{shard}-warm")

    async def run(self, source: WarmSource, *, at_once: bool = True) -> None:
        """Fill now (`at_once`), and each time it is wanted again.

        To be called once no earlier incarnation's entries are missing in the views.
        """
        self._accounts.dormant.open(source)
        if at_once:
            self._filling.resume()
        while True:
            await self._filling.wanted()
            self._filling.start(self._views.users)
            try:
                await self._fill(source.pages(self._ownership.slots, self._now()))
            except StorageUnavailableError as error:
                why = error.__cause__ or error
                logger.warning("%s: warming up waits: %r", self._shard, why)
                await asyncio.sleep(RETRY_SECONDS)
                self._filling.resume()
            self._filling.end()

    async def _fill(self, pages: Generator[RawPage]) -> None:
        loop = asyncio.get_running_loop()
        filled = 0
        while not self._filling.is_outdated and self._accounts.room > 0:
            page = await loop.run_in_executor(self._thread, next, pages, None)
            if page is None:
                break
            if not self._filling.is_outdated:
                before = filled
                filled += self._take(page)
                if filled // PROGRESS_ACCOUNTS > before // PROGRESS_ACCOUNTS:
                    logger.info("%s: warmed up %d accounts", self._shard, filled)
        else:  # There is more, and nobody wants it.
            await loop.run_in_executor(self._thread, pages.close)
        logger.info("%s: warmed up with %d accounts", self._shard, filled)

    def _take(self, page: RawPage) -> int:
        taken = 0
        for user_id, account in page.accounts.items():
            foreign_ids = page.foreign_ids[user_id]
            if user_id in self._accounts or not self._ownership.owns(user_id):
                continue
            if self._filling.admits(user_id, foreign_ids):
                self._accounts.put_dormant(user_id, account, foreign_ids)
                taken += 1
        return taken
