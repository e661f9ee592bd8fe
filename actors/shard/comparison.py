"""Compares a shard's RAM with MongoDB, beside the shard's work, and reads anew what differs.

The shard's loop goes on meanwhile, so what only looks different is told from what is:

* An account is compared with the version in RAM that has its `seq`. Where there is none,
  because an append is on its way, it is looked at again.
* What differs is looked at a second time, after another program's edit would have come through
  the change stream. Only what differs then counts.
* What differs is read anew by the shard's own loop, its only writer, as any missing account is.

Dormant accounts that were found equal once, with nothing that cannot be read, are compared by their bytes
from then on: what the first look loads comes another way than what filled RAM.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from actors.protocol.calls import Outcome, Reply
from actors.protocol.reports import DIFFERING_USERS_MAX, Findings, Reread
from actors.protocol.store import StorageUnavailableError, Store
from actors.shard import broken_journals
from actors.shard.dormant import AnyRawAccount
from actors.shard.residents import account_in_ram, recovered_or_none
from actors.shard.shard import Shard
from domain.account import Account
from domain.comparison import Difference, difference
from domain.documents.recovery import Stored
from domain.values import UserId

CHUNK = 500  # Accounts loaded together.
SLICE = 10  # Accounts compared before the loop has its turn, about a millisecond.
LOAD_SHARE = 0.25  # Share of its time in which comparing loads or computes; then others do.
RECHECK_SECONDS = 2.0  # Longer than another program's edit takes to come through the stream.
LOOKS_MAX = 6  # How often an account is looked at that is written at each look; then it is left.
PAUSE_SECONDS = 0.05  # Before a full inbox is tried again.

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Looked:
    """What one look at some accounts has found."""

    equal: int = 0
    differing: dict[UserId, tuple[Difference, Account]] = field(default_factory=dict)
    """How, and the version in RAM that does."""
    busy: list[UserId] = field(default_factory=list)
    """Written at that moment: nothing can be said."""
    quarantined: int = 0
    broken: list[UserId] = field(default_factory=list)
    """Nobody knows all that was decided about them."""


class Comparison:
    """Compares one shard with its store. Loads in a thread of its own, never in the writer's."""

    def __init__(
        self,
        shard: Shard,
        store: Store,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shard = shard
        self._store = store
        self._sleep = sleep
        self._loader = ThreadPoolExecutor(1, thread_name_prefix=f"{shard.name}-comparison")

    async def compare(self, *, repair: bool, whole: bool = True) -> Findings:
        """Compare every resident account, or whose turn it is. Raises StorageUnavailableError."""
        accounts = self._shard.accounts
        if whole:
            return await self._compare(accounts.users(), repair=repair)
        with accounts.to_compare.part(accounts.users) as users:
            return await self._compare(users, repair=repair)

    async def _compare(self, users: Sequence[UserId], *, repair: bool) -> Findings:
        report = Findings()
        first = Looked()
        for chunk in chunks(users):
            await self._look(chunk, first)
        report.quarantined = first.quarantined
        report.name(first.broken)
        differing = await self._look_again(first)
        report.checked = first.equal + len(differing)
        report.take(differing)
        for user_id, kind in list(differing.items())[:DIFFERING_USERS_MAX]:
            logger.warning("%s: %s differs from MongoDB: %s", self._shard.name, user_id, kind)
        if repair:
            for chunk in chunks(list(differing)):
                report.repaired += len(await self._read_anew(chunk))
        return report

    async def reread(self, user_id: UserId | None) -> Reread:
        """Read one user, or every resident account, anew. Raises StorageUnavailableError."""
        report, loop = Reread(), asyncio.get_running_loop()
        for chunk in chunks(self._shard.accounts.users() if user_id is None else [user_id]):
            before = {u: account_in_ram(self._shard, u) for u in chunk}
            started = loop.time()
            await self._read_anew(chunk)
            seconds, now = loop.time() - started, self._shard.now()
            for user in chunk:
                report.checked += 1
                after = self._shard.accounts.get(user)
                if after is not None:
                    report.note(before[user], after, now, self._shard.policy)
            await self._sleep(seconds)  # Half the time for the others: an operator waits.
        return report

    async def _look_again(self, first: Looked) -> dict[UserId, Difference]:
        """Return what differs at two looks; what turns out to be equal is counted in `first`."""
        found: dict[UserId, Difference] = {}
        seen = {user_id: account for user_id, (_, account) in first.differing.items()}
        waiting = [*first.differing, *first.busy]
        for _ in range(LOOKS_MAX):
            if not waiting:
                break
            await self._sleep(RECHECK_SECONDS)
            looked = Looked()
            for chunk in chunks(waiting):
                await self._look(chunk, looked)
            first.equal += looked.equal
            waiting = looked.busy
            for user_id, (kind, account) in looked.differing.items():
                if user_id in seen and _goes_on_from(account, seen[user_id]):
                    found[user_id] = kind
                else:
                    seen[user_id] = account
                    waiting.append(user_id)
        return found

    async def _look(self, users: Sequence[UserId], looked: Looked) -> None:
        users = await self._pass_over_unchanged(users, looked)
        raw = self._shard.accounts.dormant.raw(users)
        before = {u: account_in_ram(self._shard, u) for u in users}
        resident = [u for u in users if before[u] is not None or u in raw]
        now = self._shard.now()
        loop = asyncio.get_running_loop()
        started = loop.time()
        stored = await self._in_loader(
            lambda: broken_journals.load_past(
                self._shard.name, lambda u: self._store.load(u, now), resident
            )
        )
        looked.broken += set(resident).difference(one.user_id for one in stored)
        looked.quarantined += len(resident) - len(stored)
        load_seconds = loop.time() - started
        for part in slices(stored):  # At once: what RAM holds moves on.
            started = loop.time()
            for one in part:
                user_id = one.user_id
                self._judge(one, before[user_id], raw.get(user_id), now, looked)
            await self._yield_for(loop.time() - started)
        await self._yield_for(load_seconds)

    async def _pass_over_unchanged(
        self, users: Sequence[UserId], looked: Looked
    ) -> Sequence[UserId]:
        """Return those users whose accounts are to be loaded.

        The others' are stored as they were at an earlier look that found them equal.
        """
        dormant = self._shard.accounts.dormant
        before = dormant.raw(filter(dormant.is_sound, users))
        if not before:
            return users
        loop = asyncio.get_running_loop()
        started = loop.time()
        read = partial(dormant.source.of, [*before], self._shard.now())
        stored = await self._in_loader(read)
        same = {user_id for user_id, account in before.items() if stored.get(user_id) == account}
        looked.equal += len(same)
        await self._yield_for(loop.time() - started)
        return [user_id for user_id in users if user_id not in same]

    async def _yield_for(self, seconds: float) -> None:
        """Leave the machine to others for as long as work of so many seconds owes them."""
        await self._sleep(seconds * (1 / LOAD_SHARE - 1))

    def _judge(
        self,
        stored: Stored,
        before: Account | None,
        raw: AnyRawAccount | None,
        now: datetime,
        looked: Looked,
    ) -> None:
        """Count what a look has found of one user. `raw`: what was dormant of them before the load."""
        recovered = recovered_or_none(stored, now, self._shard.policy)
        if recovered is None:
            looked.quarantined += 1
            looked.broken.append(stored.user_id)
            return
        dormant = self._shard.accounts.dormant
        stays = raw is not None and dormant.has(stored.user_id, raw)
        in_db = recovered.account
        after = before if stays else account_in_ram(self._shard, stored.user_id)
        if after is None:  # The shard has let it go meanwhile: it is not resident.
            return
        looked.quarantined += len(recovered.quarantined)
        if in_db in (after, before):  # Most often, and much cheaper than their meaning.
            looked.equal += 1
            if stays and not recovered.quarantined and not stored.entries:
                dormant.note_sound(stored.user_id)
            return
        same = [a for a in (after, before) if a is not None and a.seq == in_db.seq]
        if not same and (after != before or stored.user_id in self._shard.inbox.taken):
            looked.busy.append(stored.user_id)
            return
        in_ram = same[0] if same else after
        kind = difference(in_ram, in_db, now, self._shard.policy)
        if kind is None:
            looked.equal += 1
        else:
            looked.differing[stored.user_id] = (kind, in_ram)

    async def _read_anew(self, users: Sequence[UserId]) -> Sequence[UserId]:
        """Have the shard's loop read accounts anew, and return those that can be."""
        replies = [(user_id, await self._enqueue(user_id)) for user_id in users]
        read: list[UserId] = []
        for user_id, reply in replies:
            if (await reply).outcome is Outcome.DONE:
                read.append(user_id)
            elif user_id not in self._shard.accounts.broken:
                raise StorageUnavailableError("not every account could be read")
        return read

    async def _enqueue(self, user_id: UserId) -> "asyncio.Future[Reply]":
        while True:
            reply = self._shard.inbox.put(user_id, None, anew=True)
            if reply is not None:
                return reply
            await self._sleep(PAUSE_SECONDS)

    async def _in_loader(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._loader, call)


def _goes_on_from(account: Account, earlier: Account) -> bool:
    """Say whether RAM held on to a version, charges aside: it was not read anew in between."""
    return account == earlier or account.seq > earlier.seq


def chunks(users: Sequence[UserId]) -> Iterator[Sequence[UserId]]:
    """Yield users in parts that are loaded together."""
    for start in range(0, len(users), CHUNK):
        yield users[start : start + CHUNK]


def slices(stored: Sequence[Stored]) -> Iterable[Sequence[Stored]]:
    """Yield accounts in parts that are compared without a turn of the loop between them."""
    for start in range(0, len(stored), SLICE):
        yield stored[start : start + SLICE]
