"""Fills a shard's RAM from MongoDB behind the traffic, after a start and after a resync.

Pages of raw accounts are read in a thread of their own, and kept as they are. A page may be as
old as the beginning of the reading: an account to which anything has happened since (a call, a
change that was told) stays out.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple, Protocol

from actors.protocol.store import StorageUnavailableError
from actors.runtime.counters import Counters
from actors.shard.dormant import AnyRawAccount, Dormant
from actors.shard.view_writer import ViewWriter
from domain.account import Account
from domain.documents.recovery import Stored
from domain.values import UserId, mark_of, owner_mark

RETRY_SECONDS = 1.0  # Pause before the database is asked again.
PROGRESS_ACCOUNTS = 100_000  # A line in the log after so many.

logger = logging.getLogger(__name__)


class RawPage(NamedTuple):
    """Some accounts, complete, and the ids of their documents that do not carry their mark."""

    accounts: dict[UserId, AnyRawAccount]
    foreign_ids: dict[UserId, list[str]]


class WarmSource(Protocol):
    """The accounts in the database. `pages` blocks at each step; StorageUnavailableError."""

    def read(self, user_id: UserId, account: AnyRawAccount) -> Stored:
        """Return what is stored of a user."""

    def pages(self, is_mine: Callable[[UserId], bool], now: datetime) -> Iterator[RawPage]:
        """Yield the accounts with a subscription that has not ended, of users that are mine."""


class Held(Protocol):
    """What the warm start must know of the shard it fills."""

    name: str
    views: ViewWriter

    def now(self) -> datetime:
        """Return the shard's instant."""

    @property
    def room(self) -> int:
        """How many more accounts may be held."""

    def owns(self, user_id: UserId) -> bool:
        """Whether the user is the shard's."""

    @property
    def accounts(self) -> Mapping[UserId, Account]:
        """What is in RAM."""


class WarmStart:
    """Fills `dormant` for one shard."""

    def __init__(
        self,
        shard: Held,
        counters: Counters,
        dormant: Dormant,
        learn: Callable[[UserId, Iterable[str]], None],
    ) -> None:
        """`learn` is told whose documents were put into RAM, by their ids."""
        self._shard = shard
        self._counters = counters
        self._dormant = dormant
        self._learn = learn
        self._wanted = asyncio.Event()
        self._again = False
        self._disturbed: set[UserId] = set()
        self._documents: set[str] = set()
        self._in_doubt: set[UserId] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{shard.name}-warm")

    # --- what the shard tells -----------------------------------------------------------

    def begin(self) -> None:
        """Fill from the start. What is being filled now is dropped."""
        self._again = True
        self._wanted.set()

    def begin_again(self) -> None:
        """Drop what is being filled now, if anything, and fill from the start."""
        if self._counters.warming:
            self.begin()

    def disturb(self, user_id: UserId) -> None:
        """Leave out a user to whom something happens while accounts are read."""
        if self._counters.warming:
            self._disturbed.add(user_id)

    def disturb_documents(self, document_ids: Iterable[str]) -> None:
        """Leave out the accounts of these documents, whosever they are."""
        if self._counters.warming:
            self._documents.update(document_ids)

    def leave_out(self, user_ids: Iterable[UserId]) -> None:
        """Leave out users who may have an entry that neither RAM nor a view contains.

        Until they are loaded: that brings the entry.
        """
        self._in_doubt.update(user_ids)

    def loaded(self, user_id: UserId) -> None:
        """Note that a user was loaded, with the entries that no view contains."""
        self._in_doubt.discard(user_id)

    # --- the loop -----------------------------------------------------------------------

    async def run(self, source: WarmSource, *, at_once: bool = True) -> None:
        """Fill now (`at_once`), and each time it is wanted again.

        To be called once no earlier incarnation's entries are missing in the views.
        """
        self._dormant.open(source.read)
        if at_once:
            self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._again = False
            # Whoever lags now may not do so any more when the page is here.
            self._disturbed, self._documents = set(self._shard.views.users), set()
            self._counters.warming = 1
            try:
                await self._fill(source.pages(self._shard.owns, self._shard.now()))
            except StorageUnavailableError as error:
                logger.warning("%s: warming up waits: %r", self._shard.name, error.__cause__)
                await asyncio.sleep(RETRY_SECONDS)
                self._wanted.set()
            self._counters.warming = 0

    async def _fill(self, pages: Iterator[RawPage]) -> None:
        loop = asyncio.get_running_loop()
        filled = 0
        while not self._again and self._shard.room > 0:
            page = await loop.run_in_executor(self._thread, next, pages, None)
            if page is None or self._again:
                break
            before = filled
            filled += self._take(page)
            if filled // PROGRESS_ACCOUNTS > before // PROGRESS_ACCOUNTS:
                logger.info("%s: warmed up %d accounts", self._shard.name, filled)
        logger.info("%s: warmed up with %d accounts", self._shard.name, filled)

    def _take(self, page: RawPage) -> int:
        marks = {mark_of(document_id) for document_id in self._documents}
        taken = 0
        for user_id, account in page.accounts.items():
            foreign_ids = page.foreign_ids[user_id]
            if user_id in self._disturbed or user_id in self._in_doubt:
                continue
            if user_id in self._shard.accounts or not self._shard.owns(user_id):
                continue
            if marks and (
                owner_mark(user_id) in marks or not self._documents.isdisjoint(foreign_ids)
            ):
                continue
            self._dormant.put(user_id, account)
            self._learn(user_id, foreign_ids)
            taken += 1
        self._counters.warmed += taken
        self._counters.dormant = len(self._dormant)
        return taken
