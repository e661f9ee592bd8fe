"""The single writer for a range of slots. Plain Python: Ray is added in `actors/remote.py`.

    gather what has arrived → load what is missing → decide on a draft → append, all or nothing
    → publish the draft → reply → write the views behind

No `await` stands between reading an account and owning the result, and on any doubt about
what the journal holds the accounts concerned are forgotten and read again.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from actors.calls import MOVED, OVERLOADED, UNAVAILABLE, Call, Envelope, Outcome, Reply
from actors.counters import Counters
from actors.directory import Directory, shard_name
from actors.draft import Command, Draft, reply_to
from actors.inbox import Inbox, Work
from actors.status_texts import StatusTexts
from actors.store import (
    AppendInDoubtError,
    AppendRefusedError,
    StorageUnavailableError,
    Store,
)
from actors.view_writer import ViewWriter
from domain.account import Account
from domain.foreign import Quarantined
from domain.messages import Entry
from domain.recovery import Stored, recover
from domain.values import Policy, UserId, to_instant

APPENDS_MAX = 20  # How often one batch is decided again before its callers are told to wait.
ANSWERS_MAX = 20_000  # First answers kept in RAM; older ones are found in the journal.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
LATE_APPEND = timedelta(seconds=30)  # How long after its instant an entry may still land.
EVICTION_SCAN_MAX = 1_000  # Accounts looked at for one that may be dropped.
CATCH_UP_CHUNK = 500  # Accounts read together while catching up after a restart.

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Shard:
    """Owns the accounts of its slots, in RAM and as their only writer."""

    def __init__(
        self,
        index: int,
        store: Store,
        policy: Policy,
        *,
        accounts_max: int,
        clock: Callable[[], datetime],
        table: Directory,
    ) -> None:
        self.name = shard_name(index)
        self.table = table
        self.counters = Counters()
        self.inbox = Inbox()
        self.views = ViewWriter(self.name, store, self.counters, self._forget)
        self._index = index
        self._store = store
        self._policy = policy
        self._texts = StatusTexts(policy)
        self._accounts_max = accounts_max
        self._clock = clock
        self._now = to_instant(clock())
        self._accounts: OrderedDict[UserId, Account] = OrderedDict()
        self._answers: OrderedDict[Command, tuple[str, Reply]] = OrderedDict()
        self._committing_since: datetime | None = None
        self._caught_up = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"{self.name}-writer")

    # --- what callers use ---------------------------------------------------------------

    async def handle(self, envelope: Envelope) -> list[Reply]:
        """Return the replies to an envelope's calls, then to its reads, in order."""
        if envelope.version != self.table.version:
            return [MOVED] * (len(envelope.calls) + len(envelope.status_of))
        replies = [self._write(call) for call in envelope.calls]
        now = self.now()
        replies += [self._read(user_id, now) for user_id in envelope.status_of]
        return [r if isinstance(r, Reply) else await r for r in replies]

    def now(self) -> datetime:
        """Return the shard's instant. It never goes back, whatever the clock does."""
        self._now = max(self._now, to_instant(self._clock()))
        return self._now

    async def settle(self, user_id: UserId | None = None) -> None:
        """Wait until the views contain every answered write of one user, or of all."""
        await self.views.settle(user_id)

    async def adopt(self, table: Directory) -> None:
        """Follow a newer directory: finish, write the views, forget users of other shards."""
        if table.version <= self.table.version:
            return
        self.table = table
        await self.inbox.settle()
        await self.views.settle()
        for user_id in [u for u in self._accounts if table.owner(u) != self._index]:
            self._forget(user_id)
        self.counters.users = len(self._accounts)

    async def catch_up(self) -> None:
        """Load the accounts whose views an earlier incarnation left behind.

        Loading an account takes up the entries its views lack, and the views follow. Raises
        StorageUnavailableError; catching up may be begun again at any time.
        """
        since = await asyncio.to_thread(self._store.clean_until) or BEGINNING
        until = self.now() + LATE_APPEND
        users = await asyncio.to_thread(self._store.appended_since, since - LATE_APPEND, until)
        mine = [user_id for user_id in users if self.table.owner(user_id) == self._index]
        for start in range(0, len(mine), CATCH_UP_CHUNK):
            chunk = tuple(mine[start : start + CATCH_UP_CHUNK])
            replies = await self.handle(Envelope(self.table.version, status_of=chunk))
            if any(reply.outcome is not Outcome.DONE for reply in replies):
                raise StorageUnavailableError("not every account could be read")
            done = start + len(chunk)
            logger.info("%s: caught up with %d accounts of %d", self.name, done, len(mine))
        self._caught_up = True

    def _write(self, call: Call) -> "Reply | asyncio.Future[Reply]":
        self.counters.writes += 1
        if self.views.is_full:
            return self._refuse_load()
        return self._enqueue(call.command.user_id, call)

    def _read(self, user_id: UserId, now: datetime) -> "Reply | asyncio.Future[Reply]":
        self.counters.reads += 1
        account = self._accounts.get(user_id)
        if account is None:
            self.counters.misses += 1
            return self._enqueue(user_id, None)
        self.counters.hits += 1
        self._accounts.move_to_end(user_id)
        return Reply(Outcome.DONE, self._texts.text(account, now))

    def _enqueue(self, user_id: UserId, call: Call | None) -> "Reply | asyncio.Future[Reply]":
        reply = self.inbox.put(user_id, call)
        self.counters.queued = len(self.inbox)
        return self._refuse_load() if reply is None else reply

    def _refuse_load(self) -> Reply:
        self.counters.overloaded += 1
        return OVERLOADED

    # --- the loop -----------------------------------------------------------------------

    async def run(self) -> None:
        """Commit batches for ever. This loop is the only writer of `_accounts`."""
        while True:
            batch = await self.inbox.take()
            self._committing_since = self.now()
            self.counters.queued = len(self.inbox)
            try:
                await self.commit(batch)
            except StorageUnavailableError as error:
                logger.warning("%s: the database is away: %r", self.name, error.__cause__)
                for work in batch:
                    work.answer(UNAVAILABLE)
            self._committing_since = None
            self.inbox.finish(batch)

    async def commit(self, batch: Sequence[Work]) -> None:
        """Answer every caller of a batch. Raises StorageUnavailableError with some unanswered."""
        for _ in range(APPENDS_MAX):
            await self._load_missing(batch)
            draft = Draft(self._accounts, self._answers, self.now(), self._policy)
            replies = [
                draft.decide(work.call) if work.call else draft.status(work.user_id)
                for work in batch
            ]
            try:
                await self._append(draft.entries)
            except (AppendRefusedError, AppendInDoubtError) as error:
                await self._forget_and_look(draft, error)
                continue
            self._publish(draft)
            for work, reply in zip(batch, replies, strict=True):
                work.answer(reply)
                self._count(reply)
            return
        raise StorageUnavailableError("the batch met other writers too often")

    def clean_until(self) -> datetime | None:
        """Return an instant before which no entry of this shard is missing in the views.

        None until the shard has caught up: then nothing is known about earlier incarnations.
        """
        if not self._caught_up:
            return None
        return min(filter(None, (self.views.oldest, self._committing_since, self.now())))

    async def _load_missing(self, batch: Sequence[Work]) -> None:
        # Again, until none is: the view writer may forget an account while others are loaded.
        while missing := [w.user_id for w in batch if w.user_id not in self._accounts]:
            now = self.now()
            users = list(dict.fromkeys(missing))
            for stored in await self._load(users, now):
                recovered = recover(stored, now, self._policy)
                self._accounts[stored.user_id] = recovered.account
                self.views.add(recovered.lagging)
                self._quarantine(recovered.quarantined)

    async def _load(self, user_ids: Sequence[UserId], now: datetime) -> list[Stored]:
        return await self._in_writer(lambda: self._store.load(user_ids, now))

    def _quarantine(self, documents: Sequence[Quarantined]) -> None:
        for document in documents:
            self.counters.quarantined += 1
            logger.warning(
                "%s: document %s cannot be read and counts as absent: %s",
                self.name,
                document.document_id,
                document.reason,
            )

    async def _append(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        await self._in_writer(lambda: self._store.append(entries))
        self.counters.appends += 1
        self.counters.appended_entries += len(entries)
        self.counters.append_seconds += loop.time() - started

    def _publish(self, draft: Draft) -> None:
        for user_id, account in draft.accounts.items():
            self._accounts[user_id] = account
            self._accounts.move_to_end(user_id)
        self._remember(draft.answers)
        self.views.add(draft.entries)
        self._evict()

    async def _forget_and_look(self, draft: Draft, error: Exception) -> None:
        """Forget the accounts of a failed append, and remember the answers that have landed."""
        if isinstance(error, AppendInDoubtError):
            self.counters.appends_in_doubt += 1
        else:
            self.counters.append_conflicts += 1
        for user_id in draft.accounts:
            self._forget(user_id)
        commands = [(entry.user_id, entry.key) for entry in draft.entries]
        landed = await self._in_writer(lambda: self._store.find_entries(commands))
        self._remember({(e.user_id, e.key): (e.fingerprint, reply_to(e)) for e in landed})

    def _remember(self, answers: Mapping[Command, tuple[str, Reply]]) -> None:
        self._answers.update(answers)
        while len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)

    def _count(self, reply: Reply) -> None:
        self.counters.refusals += reply.outcome is Outcome.REFUSED
        self.counters.repeats += reply.replayed

    def _forget(self, user_id: UserId) -> None:
        self._accounts.pop(user_id, None)

    def _evict(self) -> None:
        """Drop accounts used least recently; those whose views lag are passed over."""
        excess = len(self._accounts) - self._accounts_max
        if excess > 0:
            oldest = list(islice(self._accounts, excess + EVICTION_SCAN_MAX))
            for user_id in [u for u in oldest if u not in self.views][:excess]:
                self._forget(user_id)
                self.counters.evictions += 1
        self.counters.users = len(self._accounts)

    async def _in_writer(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, call)
