"""Writes the views right behind the journal, many accounts in one transaction."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from actors.protocol.store import StorageUnavailableError, Store, ViewsRefusedError, ViewsTakenError
from actors.runtime.counters import Counters
from actors.runtime.steps_in_hand import StepsInHand
from domain.documents.views import AccountViews, project
from domain.messages import Entry
from domain.values import UserId

ACCOUNTS_PER_FLUSH_MAX = 500  # One transaction stays small enough for any server.
LAGGING_ENTRIES_MAX = 100_000  # Beyond this the shard refuses writes until the views follow.
RETRY_SECONDS = 0.5  # Pause after a flush that failed.
FLUSH_PAUSE_SECONDS = 0.25  # Entries gather this long, unless somebody waits for the views;
RESTS = 4.0  # and so many times as long as a flush took, unless in haste: the database is the journal's then,
REST_SECONDS_MAX = 2.0  # up to here.
# Between two writes of one subscription's document, unless in haste, or somebody asks for the views: each
# rewrites all of it, and some servers hold up everybody's writes meanwhile. Its events are told as late.
SUBSCRIPTION_REST_SECONDS = 1.0
FLUSHES_BEHIND = 4  # Where so many are needed for what lags, they follow each other at once.
SET_ASIDE_SECONDS = 30.0  # How long an account waits whose views the database refuses.
MARK_SECONDS = 5.0  # How often the point up to which all views are written is noted.

logger = logging.getLogger(__name__)


class ViewWriter:
    """Holds the entries that no view contains yet, and writes them account by account.

    `forget` is told of accounts whose views another writer moved past what is held here, and of
    those that were to be forgotten once written.
    """

    def __init__(
        self,
        shard: str,
        store: Store,
        counters: Counters,
        forget: Callable[[UserId], object],
        steps: StepsInHand,
    ) -> None:
        self._shard = shard
        self._store = store
        self._counters = counters
        self._forget = forget
        self._steps = steps
        self._lagging: dict[UserId, list[Entry]] = {}
        self._set_aside: dict[UserId, float] = {}
        self._resting: dict[UserId, float] = {}
        """Until when the views of users wait whose subscriptions were written."""
        self._to_forget: set[UserId] = set()
        self._arrived = asyncio.Event()
        self._flushed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._in_haste = asyncio.Event()
        self._hasty = 0
        """How many blocks want haste."""
        self._marked_at = 0.0
        self._accounts_max = ACCOUNTS_PER_FLUSH_MAX

    def __contains__(self, user_id: UserId) -> bool:
        return user_id in self._lagging

    @property
    def users(self) -> Collection[UserId]:
        """The users of whom something lags."""
        return self._lagging.keys()

    @property
    def is_full(self) -> bool:
        """Whether so much lags that no more may be added."""
        return self._counters.lagging_entries >= LAGGING_ENTRIES_MAX

    @property
    def _is_behind(self) -> bool:
        """Whether more lags than a few flushes take."""
        due = self._lagging.keys() - self._set_aside.keys() - self._resting.keys()
        return len(due) >= FLUSHES_BEHIND * self._accounts_max

    @property
    def oldest(self) -> datetime | None:
        """When the oldest lagging entry was made."""
        return min((entries[0].at for entries in self._lagging.values()), default=None)

    def add(self, entries: Iterable[Entry], *, then_forget: bool = False) -> None:
        """Take entries that are durable in the journal. Those held already are passed over.

        `then_forget`: once the views contain them, their accounts are read anew. Our write may
        mend a document that another program made unreadable.
        """
        for entry in entries:
            if then_forget:
                self._to_forget.add(entry.user_id)
            held = self._lagging.setdefault(entry.user_id, [])
            if not held or entry.seq > held[-1].seq:
                held.append(entry)
                self._counters.lagging_entries += 1
                if entry.events:  # Somebody waits to be told.
                    self._wanted.set()
        self._arrived.set()

    async def run(self, clean_until: Callable[[], datetime | None]) -> None:
        """Write for ever. `clean_until` says before which instant nothing more can arrive."""
        loop = asyncio.get_running_loop()
        while True:
            await _wait_for(self._arrived, MARK_SECONDS)
            self._wanted.clear()
            began = loop.time()
            with self._steps.step("a flush of views"):
                await self.flush()
                await self._mark_clean(clean_until)
            if not self._is_behind and not self._in_haste.is_set():
                rest = min(RESTS * (loop.time() - began), REST_SECONDS_MAX)
                await _wait_for(self._in_haste, rest)
                await _wait_for(self._wanted, FLUSH_PAUSE_SECONDS - rest)
            if self._lagging.keys() <= self._set_aside.keys():
                self._arrived.clear()

    async def settle(self, user_id: UserId | None = None) -> None:
        """Wait until the views contain what is held now, of one user or of all.

        Of all, accounts that are set aside are passed over; of one, ViewsRefusedError.
        """
        users = list(self._lagging) if user_id is None else [user_id]
        targets = {u: self._lagging[u][-1].seq for u in users if u in self._lagging}
        while any(self._lags(u, targets[u]) for u in targets if u not in self._set_aside):
            for name in targets:
                self._resting.pop(name, None)
            self._flushed.clear()
            self._wanted.set()
            await self._flushed.wait()
        if user_id in self._set_aside:
            raise ViewsRefusedError("the views of this account are set aside")

    @contextlib.contextmanager
    def in_haste(self) -> Iterator[None]:
        """Write without rests inside the block: callers wait while a shard gives users away."""
        self._hasty += 1
        self._in_haste.set()
        self._wanted.set()
        try:
            yield
        finally:
            self._hasty -= 1
            if not self._hasty:
                self._in_haste.clear()

    def drop(self, user_id: UserId) -> None:
        """Leave what lags of a user to others."""
        if user_id in self._lagging:
            self._drop(user_id, self._lagging[user_id][-1].seq)
        self._resting.pop(user_id, None)

    def _lags(self, user_id: UserId, seq: int) -> bool:
        held = self._lagging.get(user_id)
        return held is not None and held[0].seq <= seq

    async def flush(self) -> None:
        """Write one transaction. What fails stays, and is tried again after a pause.

        It is tried with fewer accounts: where another program edits many documents, a long
        transaction would meet one of its writes every time.

        Where the database refuses a batch, each of its accounts is written alone, and the one
        that cannot be is set aside for a while: nobody else waits for it.
        """
        now = asyncio.get_running_loop().time()
        rests = {} if self._in_haste.is_set() else self._resting
        self._resting = {user_id: until for user_id, until in rests.items() if until > now}
        due = (
            user_id
            for user_id in self._lagging
            if self._set_aside.get(user_id, 0.0) <= now and user_id not in self._resting
        )
        users = list(islice(due, self._accounts_max))
        try:
            await self._write(users)
        except ViewsRefusedError:
            for user_id in users:
                if user_id in self._lagging:  # Else it was dropped while others were written.
                    await self._write_alone(user_id)
        except StorageUnavailableError as error:
            logger.warning("%s: views wait for the database: %r", self._shard, error.__cause__)
            self._accounts_max = max(self._accounts_max // 4, 1)
            self._put_last(users)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            self._accounts_max = min(self._accounts_max * 2, ACCOUNTS_PER_FLUSH_MAX)
        self._flushed.set()

    def _put_last(self, users: Iterable[UserId]) -> None:
        """Let others come first: a document that another program's transaction holds may stay so."""
        for user_id in users:
            if user_id in self._lagging:
                self._lagging[user_id] = self._lagging.pop(user_id)

    async def _write(self, users: Sequence[UserId]) -> None:
        batch = [list(self._lagging[user_id]) for user_id in users]
        if not batch:
            return
        try:
            views = await asyncio.to_thread(_write, self._store, batch)
        except ViewsTakenError as taken:
            for user_id in users:
                self._follow(user_id, taken.applied_seq[user_id])
        else:
            until = asyncio.get_running_loop().time() + SUBSCRIPTION_REST_SECONDS
            self._resting |= {view.user_id: until for view in views if view.subscriptions}
            for entries in batch:
                self._set_aside.pop(entries[0].user_id, None)
                self._drop(entries[0].user_id, entries[-1].seq)

    async def _write_alone(self, user_id: UserId) -> None:
        try:
            await self._write([user_id])
        except ViewsRefusedError as error:
            if user_id not in self._lagging:
                return  # It was dropped meanwhile: nothing of it waits.
            now = asyncio.get_running_loop().time()
            self._set_aside[user_id] = now + SET_ASIDE_SECONDS
            self._counters.views_refused += 1
            logger.warning(
                "%s: a document of another program stands in the way of the views of %s: %r",
                self._shard,
                user_id,
                error.__cause__,
            )
        except StorageUnavailableError:
            return  # It stays, and comes again with the next flush.

    def _follow(self, user_id: UserId, applied_seq: int) -> None:
        """Keep only what the views still lack; where something between is missing, forget."""
        self._drop(user_id, applied_seq)
        held = self._lagging.get(user_id)
        if held and held[0].seq != applied_seq + 1:
            self._drop(user_id, held[-1].seq)
            self._forget(user_id)

    def _drop(self, user_id: UserId, applied_seq: int) -> None:
        held = self._lagging.get(user_id, [])
        rest = [entry for entry in held if entry.seq > applied_seq]
        self._counters.lagging_entries -= len(held) - len(rest)
        self._lagging.pop(user_id, None)
        if rest:  # At the end: others come first at the next flush.
            self._lagging[user_id] = rest
            return
        self._set_aside.pop(user_id, None)  # Its views lack nothing that is held here.
        if user_id in self._to_forget:
            self._to_forget.discard(user_id)
            self._forget(user_id)

    async def _mark_clean(self, clean_until: Callable[[], datetime | None]) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._marked_at + MARK_SECONDS:
            return
        until = clean_until()
        if until is None:
            return
        self._marked_at = now
        try:
            await asyncio.to_thread(self._store.mark_clean, self._shard, until)
        except StorageUnavailableError:
            logger.warning("%s: the clean mark waits for the database", self._shard)


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    """Return as soon as something has happened, and after so long at the latest."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _write(store: Store, batch: Sequence[Sequence[Entry]]) -> Sequence[AccountViews]:
    views = [project(entries) for entries in batch]
    store.write_views(views)
    return views
