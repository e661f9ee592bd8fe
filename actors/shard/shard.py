"""The single writer for a range of slots. Plain Python: Ray is added in `actors/remote/shard.py`.

    gather what has arrived → set aside whom RAM lacks until they are read → decide on a draft
    → append → publish the draft → reply → write the views behind

No `await` stands between reading an account and owning the result, and on any doubt about
what the journal holds the accounts concerned are forgotten and read again.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from actors.protocol.calls import MOVED, OVERLOADED, UNAVAILABLE, Call, Envelope, Outcome, Reply
from actors.protocol.directory import Directory, SeenTable, shard_name
from actors.protocol.store import (
    AppendFailedError,
    JournalBrokenError,
    StorageUnavailableError,
    Store,
)
from actors.runtime.counters import Counters
from actors.runtime.service_settings import ServiceSettings
from actors.runtime.steps_in_hand import StepsInHand
from actors.runtime.tracing import DatabaseSteps
from actors.shard import catch_up
from actors.shard.accounts import Accounts
from actors.shard.broken_journals import BrokenJournals, recover_or_name
from actors.shard.draft import Draft
from actors.shard.failed_append import FailedAppends
from actors.shard.follower import Following
from actors.shard.hold_timer import HoldExpiry
from actors.shard.idempotency import CommandName
from actors.shard.inbox import Batch, Inbox, commands
from actors.shard.loads import Loads
from actors.shard.ownership import Ownership
from actors.shard.reloader import Reloader
from actors.shard.view_writer import ViewWriter
from actors.shard.warm_start import WarmStart
from domain.documents.journal import SpoiltEntry
from domain.documents.recovery import Stored
from domain.messages import Entry
from domain.pricing import PriceList
from domain.recalls import Recalls
from domain.values import Policy, UserId, to_instant

APPENDS_MAX = 20  # How often one batch is decided again before its callers are told to wait.
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
        self.name = name = shard_name(index)
        self.counters = counters = Counters()
        self.policy = policy
        """What all of this shard goes by. A newer one replaces it whole: see `take_prices`, `take`."""
        self.caught_up = False
        self._store = store
        self._clock = clock
        self._now = to_instant(clock())
        self._committing_since: datetime | None = None
        self.traced_steps: DatabaseSteps | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-writer")
        self.inbox = inbox = Inbox()
        self.steps = StepsInHand(monotonic)
        self.ownership = owner = Ownership(index, table)
        self.accounts = accounts = Accounts(accounts_max, counters, self.now)
        self._broken = broken = BrokenJournals(name, accounts, counters, monotonic)
        self.loads = Loads(
            *(name, store, accounts, inbox, broken),
            in_thread=self._in_thread,
            owns=owner.owns,
            now=self.now,
            steps=self.steps,
        )
        self._failed_appends = FailedAppends(accounts, broken, counters, self._find)
        self.reloader = Reloader(inbox)
        self.views = ViewWriter(name, store, counters, accounts.forget, self.steps)
        self.expiry = HoldExpiry(accounts, owner, inbox, counters, self.now)
        self.warm_start = WarmStart(name, accounts, owner, self.views, self.now)
        self.following = Following(
            accounts, self.reloader, store.hear, counters, max_staleness, monotonic
        )

    # --- what callers use ---------------------------------------------------------------

    async def handle(self, envelope: Envelope) -> list[Reply]:
        """Return the replies to an envelope's calls, then to its reads, in order."""
        mine = self.ownership.check(envelope.version)
        replies = [
            self._write(call) if mine(call.command.user_id) else MOVED for call in envelope.calls
        ]
        # None: nothing in RAM may be trusted.
        now = None if self.following.is_stale else self.now()
        replies += [self._read(u, now) if mine(u) else MOVED for u in envelope.status_of]
        return [r if isinstance(r, Reply) else await r for r in replies]

    def now(self) -> datetime:
        """Return the shard's instant. It never goes back, whatever the clock does."""
        self._now = max(self._now, to_instant(self._clock()))
        return self._now

    def take_prices(self, prices: PriceList) -> None:
        """Charge by this list from the next batch on."""
        self.policy = replace(self.policy, prices=prices)

    def take(self, settings: ServiceSettings) -> None:
        """Tell of low credits at these thresholds from the next batch on."""
        if settings.low_credits_percents != self.policy.low_credits_percents:
            percents = settings.low_credits_percents
            self.policy = replace(self.policy, low_credits_percents=percents)
            self.accounts.texts.forget_all()  # They say whether credits are low.

    @property
    def table(self) -> Directory:
        """The newest table of slots that this shard knows."""
        return self.ownership.table

    def follow_table(self, seen: SeenTable) -> None:
        """Take a newer table. Nothing that is read from here on is older than it.

        What former owners have written of its new users came before it, and a primary that was
        just elected may show less: nobody who has written nothing of them could tell.
        """
        if seen.moment is not None:
            self._store.hear(seen.moment)
        self.ownership.follow(seen.table)

    async def settle(self, user_id: UserId | None = None) -> None:
        """Wait until the views contain every answered write of one user, or of all."""
        await self.views.settle(user_id)

    async def catch_up(self) -> None:
        """Take up what an earlier incarnation left behind. Raises StorageUnavailableError."""
        users = await catch_up.lagging_users(self._store)
        mine = [user_id for user_id in users if self.ownership.writes_views(user_id)]
        await catch_up.load(self.name, self.inbox, mine, self.accounts.broken)
        self.caught_up = True

    def clean_until(self) -> datetime | None:
        """Return before when no entry of ours is missing in the views; None: not caught up yet.

        Whoever may have one that RAM lacks holds it back, and is read again.
        """
        if not self.caught_up:
            return None
        left_out = self.accounts.filling.left_out(self.ownership.writes_views)
        self.reloader.want(left_out)
        oldest = (self.views.oldest, self._committing_since, *left_out.values(), self.now())
        return min(filter(None, oldest))

    def _write(self, call: Call) -> "Reply | asyncio.Future[Reply]":
        self.counters.writes += 1
        if self.views.is_full:
            self.counters.overloaded += 1
            return OVERLOADED
        return self._enqueue(call.command.user_id, call)

    def _read(self, user_id: UserId, now: datetime | None) -> "Reply | asyncio.Future[Reply]":
        self.counters.reads += 1
        account = None if now is None else self.accounts.trusted(user_id)
        if account is None or now is None:
            self.counters.misses += 1
            return self._enqueue(user_id, None)
        self.counters.hits += 1
        return Reply(Outcome.DONE, self.accounts.texts.text(account, now, self.policy))

    def _enqueue(self, user_id: UserId, call: Call | None) -> "Reply | asyncio.Future[Reply]":
        if self._broken.covers(user_id, call):
            return UNAVAILABLE
        reply = self.inbox.put(user_id, call)
        self.counters.queued = len(self.inbox)
        self.counters.overloaded += reply is None
        return self.inbox.refusal if reply is None else reply

    # --- the loop -----------------------------------------------------------------------

    async def run(self) -> None:
        """Commit batches for ever. This loop alone puts accounts into RAM."""
        while True:
            batch = self.loads.ready(await self.inbox.take())
            self._committing_since = self.now()
            self.counters.queued = len(self.inbox)
            try:
                await self._commit_past_broken(batch)
            except StorageUnavailableError as error:
                logger.warning("%s: a batch is refused: %s: %r", self.name, error, error.__cause__)
                self.loads.refuse(batch)
            doubted = self.accounts.forget_doubted()
            self.reloader.want(filter(self.ownership.owns, doubted))
            self._committing_since = None
            self.loads.batch_ended()
            self.inbox.finish()

    async def _commit_past_broken(self, batch: Batch) -> None:
        """Commit a batch without the accounts whose journal is broken."""
        while batch:
            try:
                with self.steps.step("a batch"):
                    await self.commit(batch)
            except JournalBrokenError as error:
                self.loads.refuse([work for work in batch if work.user_id in error.broken])
                batch = self._broken.set_apart(batch, error.broken)
            else:
                return

    async def commit(self, batch: Batch) -> None:
        """Answer every caller of a batch. Raises JournalBrokenError, StorageUnavailableError."""
        unanswered: set[CommandName] = set()
        for _ in range(APPENDS_MAX):
            for user_id in dict.fromkeys(work.user_id for work in batch):
                self.accounts.use(user_id)
            whole = self._forget_unsure(batch)
            await self._load_missing(batch, whole)
            draft = Draft(self.accounts, self.accounts.answers, self.now(), self.policy, unanswered)
            replies = [draft.reply(work.user_id, work.call) for work in batch]
            try:
                await self._append(draft.entries)
            except AppendFailedError as error:
                self.loads.void()
                batch, landed = await self._failed_appends.look(draft, batch, error)
                unanswered |= landed
                continue
            self._publish(draft, whole)
            for work, reply in zip(batch, replies, strict=True):
                work.answer(reply)
                self.counters.note_reply(reply)
            return
        raise StorageUnavailableError("the batch met other writers too often")

    def _forget_unsure(self, batch: Batch) -> dict[UserId, Recalls]:
        """Forget what is to be read anew; return what commands speak of that RAM let go, by user."""
        stale = self.following.is_stale  # Changes are not heard of: what is in RAM may be old.
        forgotten = [self.accounts.forget(work.user_id) for work in batch if stale or work.anew]
        self.counters.read_throughs += sum(forgotten) if stale else 0
        return self.accounts.forget_recalled(commands(batch))

    async def _load_missing(self, batch: Batch, whole: dict[UserId, Recalls]) -> None:
        """Load what RAM lacks; of the users in `whole`, what RAM usually lets go, too."""
        # Again, until none is: the view writer may forget an account while others are loaded.
        while missing := [w for w in batch if w.user_id not in self.accounts]:
            now = self.now()
            users = list(dict.fromkeys(w.user_id for w in missing))
            whole.update(self.accounts.forget_recalled(commands(missing)))
            known = self.loads.take(users) or self.accounts.dormant.wake(users)
            for stored in known or await self.loads.read_now(users, now, whole):
                self._take_in(stored, now, whole.get(stored.user_id))

    def _take_in(self, stored: Stored, now: datetime, recalls: Recalls | None) -> None:
        recovered = recover_or_name(stored, now, self.policy, recalls)
        self.accounts.put(recovered.account)
        if not self.ownership.owns(stored.user_id):
            self.accounts.doubted.add(stored.user_id)
        self.views.add(recovered.lagging, then_forget=bool(recovered.quarantined))
        self.counters.quarantined += catch_up.warn_of(self.name, recovered.quarantined)

    async def _append(self, entries: Sequence[Entry]) -> None:
        if entries:
            started = time.monotonic()
            await self._in_thread("append to the journal", lambda: self._store.append(entries))
            self.counters.note_append(len(entries), time.monotonic() - started)

    def _publish(self, draft: Draft, whole: Mapping[UserId, Recalls]) -> None:
        for user_id in dict.fromkeys((*draft.accounts, *whole)):
            if user_id in self.accounts:  # Else it was forgotten meanwhile, and stays so.
                self.accounts.publish(draft.account(user_id), draft.now)
            else:
                self.accounts.forget(user_id)
        self.accounts.answers.remember(draft.answers)
        for entry in draft.entries:
            self.counters.note_change(entry.change)
        self.views.add(draft.entries)
        self.accounts.make_room(self.views.users)

    async def _find(self, commands: Sequence[CommandName]) -> Sequence[Entry | SpoiltEntry]:
        return await self._in_thread("look for entries", lambda: self._store.find_entries(commands))

    async def _in_thread(self, step: str, call: Callable[[], T], on: Executor | None = None) -> T:
        running = asyncio.get_running_loop().run_in_executor(on or self._writer, call)
        return await (self.traced_steps.timed(step, running) if self.traced_steps else running)
