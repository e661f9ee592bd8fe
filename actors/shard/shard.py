"""The single writer for a range of slots. Plain Python: Ray is added in `actors/remote/shard.py`.

    gather what has arrived → load what is missing → decide on a draft → append, all or nothing
    → publish the draft → reply → write the views behind

No `await` stands between reading an account and owning the result, and on any doubt about
what the journal holds the accounts concerned are forgotten and read again.
"""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import TypeVar

from actors.protocol.calls import MOVED, OVERLOADED, UNAVAILABLE, Call, Envelope, Outcome, Reply
from actors.protocol.directory import Directory, shard_name
from actors.protocol.store import (
    AppendFailedError,
    AppendInDoubtError,
    StorageUnavailableError,
    Store,
)
from actors.runtime.counters import Counters
from actors.runtime.steps_in_hand import StepsInHand
from actors.shard import broken_journals
from actors.shard.catch_up import BEGINNING, load_lagging, warn_of
from actors.shard.draft import Draft
from actors.shard.follower import Following
from actors.shard.hold_timer import HoldExpiry
from actors.shard.idempotency import FirstAnswers, answers_of
from actors.shard.inbox import Batch, Inbox
from actors.shard.ownership import Ownership
from actors.shard.reloader import Reloader
from actors.shard.status_cache import StatusTexts
from actors.shard.view_writer import ViewWriter
from domain.account import Account
from domain.documents.recovery import Stored
from domain.messages import Entry
from domain.recalls import Recalls, all_recalls, joined
from domain.retention import keep_what_matters
from domain.values import Policy, UserId, to_instant

APPENDS_MAX = 20  # How often one batch is decided again before its callers are told to wait.
EVICTION_SCAN_MAX = 1_000  # Accounts looked at for one that may be dropped.
T = TypeVar("T")
logger = logging.getLogger(__name__)


class Shard:
    """Owns the accounts of its slots, in RAM and as their only writer."""

    def __init__(  # noqa: PLR0913 - what a shard is made of
        self,
        index: int,
        store: Store,
        policy: Policy,
        *,
        accounts_max: int,
        clock: Callable[[], datetime],
        table: Directory,
        max_staleness: float = math.inf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = shard_name(index)
        self.counters = Counters()
        self.inbox = Inbox()
        self.steps = StepsInHand(monotonic)
        self.views = ViewWriter(self.name, store, self.counters, self.forget, self.steps)
        self._store = store
        self.policy = policy  # Who follows the price list puts a newer one in its place.
        self.texts = StatusTexts(policy)
        self._accounts_max = accounts_max
        self._clock = clock
        self._now = to_instant(clock())
        self._accounts: OrderedDict[UserId, Account] = OrderedDict()
        self.answers = FirstAnswers()
        self._committing_since: datetime | None = None
        self.caught_up = False
        self.reloader = Reloader(self.inbox)
        self.expiry = HoldExpiry(self, self.inbox, self.counters)
        self.following = Following(self, store.hear, self.counters, max_staleness, monotonic)
        self.broken: set[UserId] = set()
        self.ownership = Ownership(self, index, table)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"{self.name}-writer")

    # --- what callers use ---------------------------------------------------------------

    async def handle(self, envelope: Envelope) -> list[Reply]:
        """Return the replies to an envelope's calls, then to its reads, in order."""
        mine = self.ownership.check(envelope.version)
        replies = [
            self._write(call) if mine(call.command.user_id) else MOVED for call in envelope.calls
        ]
        now = None if self.following.is_stale else self.now()
        replies += [self._read(u, now) if mine(u) else MOVED for u in envelope.status_of]
        return [r if isinstance(r, Reply) else await r for r in replies]

    def now(self) -> datetime:
        """Return the shard's instant. It never goes back, whatever the clock does."""
        self._now = max(self._now, to_instant(self._clock()))
        return self._now

    @property
    def accounts(self) -> Mapping[UserId, Account]:
        """What is in RAM now, for those who compare. Only the shard's loop writes it."""
        return self._accounts

    def owns(self, user_id: UserId) -> bool:
        """Whether this shard answers for the user."""
        return self.ownership.owns(user_id)

    @property
    def table(self) -> Directory:
        """The newest table of slots that this shard knows."""
        return self.ownership.table

    @property
    def room(self) -> int:
        """How many more accounts may be held; less than 0 where it is too many."""
        return self._accounts_max - len(self._accounts) - self.following.dormant.places

    async def settle(self, user_id: UserId | None = None) -> None:
        """Wait until the views contain every answered write of one user, or of all."""
        await self.views.settle(user_id)

    async def catch_up(self) -> None:
        """Take up what an earlier incarnation left behind. Raises StorageUnavailableError."""
        await load_lagging(self, self._store, self.ownership.writes_views)
        self.caught_up = True

    def _write(self, call: Call) -> "Reply | asyncio.Future[Reply]":
        self.counters.writes += 1
        if self.views.is_full:
            self.counters.overloaded += 1
            return OVERLOADED
        return self._enqueue(call.command.user_id, call)

    def _read(self, user_id: UserId, now: datetime | None) -> "Reply | asyncio.Future[Reply]":
        """Answer from RAM as of `now`; None: nothing in RAM may be trusted."""
        self.counters.reads += 1
        account = self._accounts.get(user_id)
        if account is None or now is None or user_id in self.following.doubted:
            self.counters.misses += 1
            return self._enqueue(user_id, None)
        self.counters.hits += 1
        self._accounts.move_to_end(user_id)
        return Reply(Outcome.DONE, self.texts.text(account, now))

    def _enqueue(self, user_id: UserId, call: Call | None) -> "Reply | asyncio.Future[Reply]":
        reply = self.inbox.put(user_id, call)
        self.counters.queued = len(self.inbox)
        self.counters.overloaded += reply is None
        return self.inbox.refusal if reply is None else reply

    # --- the loop -----------------------------------------------------------------------

    async def run(self) -> None:
        """Commit batches for ever. This loop is the only writer of `_accounts`."""
        while True:
            batch = await self.inbox.take()
            self._committing_since = self.now()
            self.counters.queued = len(self.inbox)
            try:
                await broken_journals.commit_past(self, batch)
            except StorageUnavailableError as error:
                logger.warning("%s: nothing is written: %s: %r", self.name, error, error.__cause__)
                for work in batch:
                    work.answer(UNAVAILABLE)
            self.following.end_batch()
            self._committing_since = None
            self.inbox.finish(batch)

    async def commit(self, batch: Batch) -> None:
        """Answer every caller of a batch. Raises JournalBrokenError, StorageUnavailableError."""
        for _ in range(APPENDS_MAX):
            whole = self._forget_unsure(batch)
            await self._load_missing(batch, whole)
            draft = Draft(self._accounts, self.answers, self.now(), self.policy)
            replies = [draft.reply(work.user_id, work.call) for work in batch]
            try:
                await self._append(draft.entries)
            except AppendFailedError as error:
                batch = await self._forget_and_look(draft, batch, error)
                continue
            self._publish(draft, whole)
            for work, reply in zip(batch, replies, strict=True):
                work.answer(reply)
                self.counters.note_reply(reply)
            return
        raise StorageUnavailableError("the batch met other writers too often")

    def clean_until(self) -> datetime | None:
        """Return before when no entry of ours is missing in the views; None: not caught up yet."""
        oldest = filter(None, (self.views.oldest, self._committing_since, self.now()))
        return min(oldest) if self.caught_up else None

    def _forget_unsure(self, batch: Batch) -> dict[UserId, Recalls]:
        """Forget what is to be read anew; return what commands speak of that RAM let go, by user."""
        stale = self.following.is_stale  # Changes are not heard of: what is in RAM may be old.
        forgotten = [self.forget(work.user_id) for work in batch if stale or work.anew]
        self.counters.read_throughs += sum(forgotten) if stale else 0
        return self._forget_recalled(batch)

    def _forget_recalled(self, batch: Batch) -> dict[UserId, Recalls]:
        recalled = all_recalls((w.call.command for w in batch if w.call), self._accounts)
        for user_id in recalled:
            self.forget(user_id)
        return recalled

    async def _load_missing(self, batch: Batch, whole: dict[UserId, Recalls]) -> None:
        """Load what RAM lacks; of the users in `whole`, what RAM usually lets go, too."""
        # Again, until none is: the view writer may forget an account while others are loaded.
        while missing := [w for w in batch if w.user_id not in self._accounts]:
            now = self.now()
            users = list(dict.fromkeys(w.user_id for w in missing))
            whole.update(self._forget_recalled(missing))
            for stored in self.following.dormant.wake(users) or await self._load(users, now, whole):
                user_id, policy = stored.user_id, self.policy
                recovered = broken_journals.recover_or_name(stored, now, policy, whole.get(user_id))
                self._accounts[user_id] = recovered.account
                self.broken.discard(user_id)
                if not self.owns(user_id):
                    self.following.doubted.add(user_id)
                self.expiry.note(recovered.account)
                self.views.add(recovered.lagging, then_forget=bool(recovered.quarantined))
                self.counters.quarantined += warn_of(self.name, recovered.quarantined)

    async def _load(
        self, user_ids: Sequence[UserId], now: datetime, whole: Mapping[UserId, Recalls]
    ) -> list[Stored]:  # Before the beginning nothing has ended: days of all are loaded.
        since, recalled = BEGINNING if whole else now, joined(whole.values())
        with self.following.loading(user_ids) as learn:
            found = await self._in_writer(lambda: self._store.load(user_ids, since, recalled))
            learn(found)
        return found

    async def _append(self, entries: Sequence[Entry]) -> None:
        if entries:
            started = time.monotonic()
            await self._in_writer(lambda: self._store.append(entries))
            self.counters.note_append(len(entries), time.monotonic() - started)

    def _publish(self, draft: Draft, whole: Mapping[UserId, Recalls]) -> None:
        for user_id in dict.fromkeys((*draft.accounts, *whole)):
            if user_id in self._accounts:  # Else it was forgotten meanwhile, and stays so.
                account = draft.account(user_id)
                self._accounts[user_id] = keep_what_matters(account, draft.now)
                self.expiry.note(account)
                self._accounts.move_to_end(user_id)
            else:
                self.following.forgotten(user_id)
        self.answers.remember(draft.answers)
        self.views.add(draft.entries)
        self._evict()

    async def _forget_and_look(self, draft: Draft, batch: Batch, error: Exception) -> Batch:
        """Forget a failed append's accounts, remember what has landed; return whom to answer."""
        self.counters.note_failed_append(in_doubt=(doubt := isinstance(error, AppendInDoubtError)))
        for user_id in draft.accounts:
            self.forget(user_id)
        if doubt:
            self.following.warm.leave_out(draft.accounts)
            for work in batch:
                work.repeat()
        commands = [(entry.user_id, entry.key) for entry in draft.entries]
        landed = await self._in_writer(lambda: self._store.find_entries(commands))
        self.answers.remember(answers_of(landed))
        return broken_journals.answered_past_spoilt(self.name, batch, landed)

    def forget(self, user_id: UserId) -> bool:
        """Drop an account from RAM. Returns whether it was there."""
        dormant = self.following.forgotten(user_id)
        self.expiry.forget(user_id)
        return self._accounts.pop(user_id, None) is not None or dormant

    def forget_all(self) -> None:
        """Drop everything from RAM."""
        self._accounts = OrderedDict()
        self.expiry.forget_all()
        self.reloader.clear()
        self.counters.resyncs += 1

    def _evict(self) -> None:
        """Drop accounts used least recently; those whose views lag are passed over."""
        excess = -self.room
        if excess > 0 and (excess := excess - self.following.make_room(excess)) > 0:
            oldest = list(islice(self._accounts, excess + EVICTION_SCAN_MAX))
            for user_id in [u for u in oldest if u not in self.views][:excess]:
                self.forget(user_id)
                self.counters.evictions += 1
        self.counters.users = len(self._accounts)

    async def _in_writer(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, call)
