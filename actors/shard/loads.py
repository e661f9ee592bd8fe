"""Accounts are read beside the shard's loop: for users in RAM it goes on deciding meanwhile.

    take a batch → set aside the calls of users whom RAM lacks → decide on the others
    → once their accounts are read, those calls come first

One read goes on at a time. It serves the calls that waited for it and no others: it may be older than
what comes later. Calls that come meanwhile, for the same users or for more whom RAM lacks, wait for its end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import chain

from actors.protocol.calls import UNAVAILABLE
from actors.protocol.store import JournalBrokenError, StorageUnavailableError, Store
from actors.runtime.steps_in_hand import StepsInHand
from actors.shard.accounts import Accounts
from actors.shard.broken_journals import BrokenJournals
from actors.shard.catch_up import EPOCH
from actors.shard.inbox import WAITING_SECONDS_MAX, Batch, Inbox, Work
from domain.documents.recovery import Stored
from domain.recalls import Recalls, joined, recalls
from domain.values import UserId

READ = "load accounts"  # What a read is called in traces.

logger = logging.getLogger(__name__)


InThread = Callable[..., Awaitable[list[Stored]]]
"""Makes a blocking call of the store's, under a name, in a thread; where none is given, in that of appends."""


class Loads:
    """What is being read of a shard's accounts, and who waits for it."""

    def __init__(  # noqa: PLR0913 - what it stands between
        self,
        shard: str,
        store: Store,
        accounts: Accounts,
        inbox: Inbox,
        broken: BrokenJournals,
        *,
        in_thread: InThread,
        owns: Callable[[UserId], bool],
        now: Callable[[], datetime],
        steps: StepsInHand,
    ) -> None:
        self._shard = shard
        self._store = store
        self._accounts = accounts
        self._inbox = inbox
        self._broken = broken
        self._in_thread = in_thread
        self._owns = owns
        self._now = now
        self._steps = steps
        self._reader = ThreadPoolExecutor(1, thread_name_prefix=f"{shard}-loads")
        self._wanted = asyncio.Event()
        self._served: dict[int, Work] = {}
        """The calls that wait for the read under way, by number."""
        self._users: frozenset[UserId] = frozenset()
        """Whose accounts are being read, or were and are to be taken."""
        self._found: dict[UserId, Stored] = {}
        self._behind: dict[UserId, list[Work]] = {}
        """The calls that wait for its end, by user."""
        self._is_serving = False
        self._began_at = 0.0
        self._is_late = False

    def ready(self, batch: Batch) -> Batch:
        """Return what of a batch can be decided now; the rest is set aside."""
        missing = self._missing(batch)
        if not self._users:
            return self._begin(batch, missing) if missing else batch
        ready: list[Work] = []
        behind: list[Work] = []
        for work in batch:
            waits = any(work.user_id in users for users in (self._users, self._behind, missing))
            (behind if waits and work.number not in self._served else ready).append(work)
        self._is_serving = any(work.number in self._served for work in ready)
        self._set_behind(behind)
        return ready

    def take(self, user_ids: Sequence[UserId]) -> list[Stored]:
        """Return what was read of these users, once: the next time nothing of it is there.

        What is decided again is so on what is read anew.
        """
        found = [self._found[user_id] for user_id in user_ids if user_id in self._found]
        self._found = {}
        self._accounts.learn(found)
        self._accounts.end_loading([one.user_id for one in found])
        return found

    def void(self) -> None:
        """Have nothing be taken of what was read before."""
        self._found = {}

    def batch_ended(self) -> None:
        """Note that a batch is answered: if the read was for it, the next one may begin."""
        if self._is_serving:
            self._end()

    def refuse(self, works: Batch) -> None:
        """Refuse calls, and all that waits behind them of the same users: see `Inbox.refuse`."""
        users = {work.user_id for work in works}
        behind = [work for user_id in users for work in self._behind.pop(user_id, ())]
        self._inbox.drop(behind)
        for work in (*works, *behind):
            work.answer(UNAVAILABLE)
        self._inbox.refuse(users)

    async def read_now(
        self, user_ids: Sequence[UserId], now: datetime, whole: Mapping[UserId, Recalls]
    ) -> list[Stored]:
        """Read accounts while the loop waits, with all that is recalled of them."""
        since = EPOCH if whole else now  # Before the beginning nothing has ended: all days.
        recalled = joined(whole.values())
        with self._accounts.loading(user_ids):
            self._doubt_others(user_ids)
            found = await self._in_thread(READ, lambda: self._store.load(user_ids, since, recalled))
            self._accounts.learn(found)
        return found

    async def run(self) -> None:
        """Read what is wanted, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._read()

    def _missing(self, batch: Batch) -> set[UserId]:
        """Return whom RAM lacks, but for those whom the loop itself has to read: anew, or more of them."""
        missing = {work.user_id for work in batch if work.user_id not in self._accounts}
        missing = {user_id for user_id in missing if user_id not in self._accounts.dormant}
        if missing:
            missing -= {w.user_id for w in batch if w.user_id in missing and _wants_more(w)}
        return missing

    def _begin(self, batch: Batch, missing: Collection[UserId]) -> Batch:
        """Have accounts read, and return the rest of the batch."""
        works = [work for work in batch if work.user_id in missing]
        self._served = {work.number: work for work in works}
        self._users = frozenset(missing)
        self._accounts.begin_loading(self._users)
        self._doubt_others(missing)
        self._inbox.set_aside(works)
        self._began_at, self._is_late = asyncio.get_running_loop().time(), False
        self._wanted.set()
        return [work for work in batch if work.user_id not in missing]

    def _doubt_others(self, user_ids: Collection[UserId]) -> None:
        """Doubt what is read of others' users: their owner may write, and give them to this shard meanwhile."""
        self._accounts.doubt_loading({user_id for user_id in user_ids if not self._owns(user_id)})

    def _set_behind(self, works: Batch) -> None:
        """Have calls wait for the next read; refuse them where this one takes too long."""
        if works and asyncio.get_running_loop().time() - self._began_at > WAITING_SECONDS_MAX:
            if not self._is_late:
                logger.warning("%s: a read of accounts takes long, more are refused", self._shard)
            self._is_late = True
            for work in works:
                work.answer(UNAVAILABLE)
            self._inbox.refuse({work.user_id for work in works})
            return
        self._inbox.set_aside(works)
        for work in works:
            self._behind.setdefault(work.user_id, []).append(work)

    async def _read(self) -> None:
        try:
            with self._steps.step("a read of accounts"):
                await self._read_past_broken()
        except StorageUnavailableError as error:
            logger.warning("%s: accounts are not read: %r", self._shard, error.__cause__)
            self._refuse(list(self._served.values()))
        if self._served:
            self._inbox.take_back(list(self._served.values()))
        else:
            self._end()

    async def _read_past_broken(self) -> None:
        """Read accounts; refuse the calls of those whose journal is broken."""
        while self._served:
            works = list(self._served.values())
            users = list(dict.fromkeys(work.user_id for work in works))
            try:
                found = await self._in_thread(
                    READ, partial(self._store.load, users, self._now()), self._reader
                )
            except JournalBrokenError as error:
                self._broken.set_apart(works, error.broken)
                self._refuse([work for work in works if work.user_id in error.broken])
            else:
                self._found = {one.user_id: one for one in found}
                return

    def _refuse(self, works: Batch) -> None:
        for work in works:
            del self._served[work.number]
        self._inbox.drop(works)
        self.refuse(works)

    def _end(self) -> None:
        """Have what waited for the end of a read come next."""
        self._accounts.end_loading(self._users)
        self._served, self._users, self._found = {}, frozenset(), {}
        self._is_serving = False
        behind, self._behind = list(chain.from_iterable(self._behind.values())), {}
        self._inbox.take_back(behind)


def _wants_more(work: Work) -> bool:
    """Say whether a call is not content with an account as RAM keeps it, or with one read before."""
    return work.anew or (work.call is not None and recalls(work.call.command, None) is not None)
