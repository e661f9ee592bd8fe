"""A shard's right to answer: one incarnation has it at a time, whatever networks and clocks do.

Whoever starts raises the shard's epoch in MongoDB, and then waits until the incarnation before it
is gone, or until that one's lease must have lapsed. One that ended while it waited itself was not
the last to answer: whoever follows it waits the whole time, whatever has become of it. A lease lasts
from an instant before MongoDB was asked whether the epoch is still its own. No two clocks are
compared: both sides only measure the same number of seconds.

Whoever ends in order says so, and its successor waits for nobody.

One check an envelope is enough for reads. What is in RAM while the lease is held is the truth, and
whatever is answered later from it was so between the question and the answer.
"""

import asyncio
import logging
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from actors.protocol.store import StorageUnavailableError
from actors.runtime.steps_in_hand import StepsInHand

LEASE_SECONDS = 12.0  # RAM answers so long without MongoDB's word that nobody has taken over.
RENEW_SECONDS = 2.0  # Between two renewals.
RENEWAL_SECONDS_MAX = 90.0  # Several times the limit of a call.
GONE_PAUSE_SECONDS = 0.05  # Between two looks whether the incarnation before has ended.

logger = logging.getLogger(__name__)


class Holder(NamedTuple):
    """A process that holds, or held, a lease."""

    machine: str
    pid: int


class Taken(NamedTuple):
    """An epoch that was taken, and what is known of the one before it."""

    epoch: int
    before: Holder | None
    """Who held it; None: nobody, or not any more."""
    before_had_waited: bool
    """Nobody who came before that one can answer. Else whoever did may do so still."""


class LeaseStore(Protocol):
    """Where epochs are kept. Every call blocks; every call may raise StorageUnavailableError."""

    def take(self, shard: str, holder: Holder) -> Taken:
        """Raise the shard's epoch."""

    def note_waited(self, shard: str, epoch: int) -> None:
        """Note that nobody before this epoch can answer; nothing, where there is a newer one."""

    def epoch(self, shard: str) -> int:
        """Return the shard's epoch as of now: no older one, though a server was cut off."""

    def release(self, shard: str, epoch: int) -> None:
        """Note that nobody holds this epoch any more; nothing, where there is a newer one."""


class SupersededError(Exception):
    """Another incarnation of this shard has taken over, or may: this one has to end."""


class Lease:
    """One incarnation's lease on its shard."""

    def __init__(
        self,
        store: LeaseStore,
        shard: str,
        holder: Holder,
        *,
        monotonic: Callable[[], float],
        is_gone: Callable[[Holder], bool],
    ) -> None:
        self._store = store
        self._shard = shard
        self._holder = holder
        self._monotonic = monotonic
        self._is_gone = is_gone
        self.steps = StepsInHand(monotonic)
        self._epoch = 0
        self._taken: Taken | None = None
        self._before_until = 0.0
        self._until = 0.0
        self._renewing: asyncio.Task[None] | None = None
        self._is_released = False

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have answered for the shard up to this instant."""
        return self._monotonic() < self._until

    async def take(self) -> None:
        """Return once this incarnation is the only one; to be repeated until it does.

        Raises StorageUnavailableError, SupersededError.
        """
        if self._taken is None:
            self._taken = await asyncio.to_thread(self._store.take, self._shard, self._holder)
            self._epoch = self._taken.epoch
            self._before_until = self._monotonic() + LEASE_SECONDS
        while self._before_may_answer(self._taken):  # noqa: ASYNC110 - nothing tells of its end
            await asyncio.sleep(GONE_PAUSE_SECONDS)
        # Before the first answer. Who ends before this costs its successor a wait, and no more.
        await asyncio.to_thread(self._store.note_waited, self._shard, self._epoch)
        await self.renew()

    def _before_may_answer(self, taken: Taken) -> bool:
        """Whether anybody who was there before may hold a lease."""
        if self._monotonic() >= self._before_until:
            return False
        if not taken.before_had_waited:  # Nobody remembers for whom it waited.
            return True
        return taken.before is not None and not self._is_gone(taken.before)

    async def confirm(self) -> None:
        """Return if the lease is held; one that has lapsed is renewed first, as `renew` does."""
        if not self.is_held:
            await self.renew()

    async def renew(self) -> None:
        """Ask MongoDB; callers at the same time share one asking.

        Raises StorageUnavailableError, SupersededError.
        """
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
        await asyncio.shield(self._renewing)

    async def release(self) -> None:
        """Give the lease up for good: a successor need not wait until it would have lapsed.

        StorageUnavailableError: it has to wait. `keep` ends as if there were a successor.
        """
        self._is_released = True
        self._until = 0.0
        await asyncio.to_thread(self._store.release, self._shard, self._epoch)

    async def keep(self) -> None:
        """Renew for ever. SupersededError: there is a successor. Without MongoDB it lapses."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.renew()
            except StorageUnavailableError as error:
                logger.warning("%s: the lease is not renewed: %r", self._shard, error.__cause__)

    async def _renew(self) -> None:
        asked = self._monotonic()
        try:
            with self.steps.step("a renewal of the lease", RENEWAL_SECONDS_MAX):
                epoch = await asyncio.to_thread(self._store.epoch, self._shard)
        finally:
            self._renewing = None
        if epoch != self._epoch or self._is_released:
            self._until = 0.0
            raise SupersededError(self._shard)
        self._until = asked + LEASE_SECONDS


def this_process() -> Holder:
    """Return this process, as others on its machine would find it."""
    try:  # The same process number means another process in another container.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        machine = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        machine = platform.node()
    return Holder(machine, os.getpid())


def is_gone(holder: Holder) -> bool:
    """Whether a process has certainly ended: of another machine's nothing is certain.

    Nor of one with this process's own number: the epoch may be one that this process has raised
    without hearing so, and whose predecessor nobody remembers.
    """
    if holder.machine != this_process().machine:
        return False
    try:
        os.kill(holder.pid, 0)  # Sends nothing.
    except ProcessLookupError:
        return True
    except PermissionError:  # It is there, and somebody else's.
        pass
    return False
