"""Makes users anonymous: a random id takes the place of theirs in everything that is stored.

    fence → have every shard let go → seal → settle → rename, in batches → have every shard let
    go again → rename what came meanwhile → lift

All that is known of how far it is stands in MongoDB, with the documents: whoever carries it out
may end at any instant, and another one goes on. Two at once do no harm: a batch is one
transaction, and what the other one has done is found done. `docs/anonymization.md` says why
each step is there.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

from actors.directory import Directory
from actors.failures import TryAgainError
from actors.lane import ShardLostError
from actors.reports import AnonymizationReport, Anonymized
from actors.store import LATE_APPEND, StoreError
from domain.anonymization import key_digests, random_id
from domain.values import UserId

POLL_SECONDS = 5.0  # How often it is looked for what another process has begun.
RETRY_SECONDS = 1.0  # Pause after a step that failed.
ANSWER_SECONDS_MAX = 25.0  # How long whoever asks waits before being told that it goes on.
CALLS_SECONDS = (
    15.0  # How long what was told to a shard of a Stripe subscription may be on its way.
)
KEY_AGE = timedelta(days=31)  # So long an idempotency key has its first answer.
PASSES_MAX = 20  # So often everything is gone through until a pass finds nothing.
STRIPE_RECORDS = "allotment_stripe_records"

FAILURES = (StoreError, ShardLostError, TryAgainError, TimeoutError)

logger = logging.getLogger(__name__)


class Step(StrEnum):
    """How far an anonymisation is."""

    FENCING = "fencing"
    """Nothing is decided about the user any more, from some instant of this step on."""
    RENAMING = "renaming"
    LIFTING = "lifting"
    """Nothing names the user; who comes under the old id now is somebody new."""
    DONE = "done"


class Job(NamedTuple):
    """One anonymisation as it is kept."""

    anonymization_id: str
    user_id: UserId | None
    """None once it is done."""
    anonymous_id: UserId
    step: Step
    by: str | None
    documents: Mapping[str, int]
    """How many were renamed, by collection."""
    started_at: datetime
    finished_at: datetime | None = None
    lift_after: datetime | None = None
    """Before that, an append of a process that is gone may still land."""
    waits_for: str | None = None
    used_for: str | None = None
    """What its idempotency key was used for: a digest."""


class Ledger(Protocol):
    """Keeps anonymisations. Every call blocks; every call may raise StorageUnavailableError."""

    def begin(self, job: Job, found_by: str | None) -> Job:
        """Keep a new one; return it, or that which was begun for the user or the key before."""

    def running(self) -> list[Job]:
        """Return those that are not done, the oldest first."""

    def find(self, anonymization_id: str) -> Job | None:
        """Return one."""

    def newest(self, limit: int) -> list[Job]:
        """Return some, the newest first."""

    def advance(self, job: Job) -> None:
        """Keep the step, the instant before which it is not lifted, and what it waits for."""

    def finish(self, job: Job, at: datetime) -> None:
        """Note that it is done, and forget the user's id."""

    def forget_keys(self, before: datetime) -> None:
        """Forget the idempotency keys of those that were done before an instant."""


class Papers(Protocol):
    """The documents of users. Every call blocks, may be repeated, and may raise StoreError."""

    def fence(self, job: Job) -> None:
        """Have no account of the user loaded from now on, the old one or the new one."""

    def seal(self, job: Job) -> None:
        """Have no entry of the user appended from now on. Every shard has let go of the user."""

    def settle(self, job: Job) -> None:
        """Bring the views up to the last entry. JournalBrokenError, ViewsRefusedError."""

    def rename(self, job: Job) -> Mapping[str, int]:
        """Go through everything once; return how many documents were renamed, by collection."""

    def lift(self, job: Job) -> None:
        """Let accounts be loaded again. Nothing is left of the old id afterwards."""


class Shards(Protocol):
    """The way to the shards. Every call may raise ShardLostError, StorageUnavailableError."""

    async def directory(self) -> Directory:
        """Return the newest directory."""

    async def let_go(self, index: int, user_id: UserId) -> float:
        """Have a shard forget a user; return for how many seconds none of its appends was in doubt."""


class Anonymizations:
    """Begins anonymisations and carries them out."""

    def __init__(
        self,
        ledger: Ledger,
        papers: Papers,
        shards: Shards,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        renames: Callable[[UserId, UserId], object] = lambda _old, _new: None,
    ) -> None:
        """Tell `renames`, once and again, which id takes the place of which."""
        self._ledger = ledger
        self._papers = papers
        self._shards = shards
        self._clock = clock
        self._sleep = sleep
        self._renames = renames
        self._begun = asyncio.Event()
        self._finished = asyncio.Event()

    async def ask(self, user_id: UserId, by: str | None, key: str | None) -> Anonymized | None:
        """Begin one and wait for it, not for ever; None: the key was used for another user.

        Raises StorageUnavailableError.
        """
        job = await self.begin(user_id, by, key)
        if job is None:
            return None
        was_done = job.step is Step.DONE
        return Anonymized(report_of(await self.wait(job)), was_done)

    async def begin(self, user_id: UserId, by: str | None, key: str | None = None) -> Job | None:
        """Begin one, or join that which runs; None: the key was used for another user.

        Raises StorageUnavailableError.
        """
        found_by, used_for = key_digests(key, user_id) if key is not None else (None, None)
        job = Job(
            f"anm_{secrets.token_hex(12)}",
            user_id,
            random_id(user_id),
            Step.FENCING,
            by,
            {},
            self._clock(),
            used_for=used_for,
        )
        kept = await asyncio.to_thread(self._ledger.begin, job, found_by)
        self._begun.set()
        is_other = kept.used_for != used_for and kept.user_id != user_id
        return None if is_other else kept

    async def wait(self, job: Job) -> Job:
        """Return the anonymisation once it is done, or as it is after ANSWER_SECONDS_MAX."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                while job.step is not Step.DONE:
                    self._finished.clear()
                    known = await asyncio.to_thread(self._ledger.find, job.anonymization_id)
                    job = known or job
                    if job.step is not Step.DONE:
                        await self._finished.wait()
        except TimeoutError:
            return job
        return job

    async def newest(self, limit: int) -> list[AnonymizationReport]:
        """Return reports, the newest first. Raises StorageUnavailableError."""
        return [report_of(job) for job in await asyncio.to_thread(self._ledger.newest, limit)]

    async def run(self) -> None:
        """Carry out, for ever, what this process or another one has begun."""
        while True:
            try:
                for job in await asyncio.to_thread(self._ledger.running):
                    await self._carry_on(job)
                await asyncio.to_thread(self._ledger.forget_keys, self._clock() - KEY_AGE)
            except FAILURES as error:
                logger.warning("anonymisations wait: %r", error)
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._begun.wait()
            except TimeoutError:
                continue
            self._begun.clear()

    async def _carry_on(self, job: Job) -> None:
        """Carry one out as far as it goes now: one that waits keeps no other from being done."""
        try:
            await self.carry_out(job)
        except FAILURES as error:
            why = type(error).__name__.removesuffix("Error")
            logger.warning("the anonymisation %s waits: %r", job.anonymization_id, error)
            known = await asyncio.to_thread(self._ledger.find, job.anonymization_id)
            if known is not None and known.waits_for != why:
                await asyncio.to_thread(self._ledger.advance, known._replace(waits_for=why))
            await self._sleep(RETRY_SECONDS)
            self._begun.set()
        except Exception:  # A defect in one keeps no other from being done.
            logger.exception("the anonymisation %s failed", job.anonymization_id)

    async def carry_out(self, job: Job) -> Job:
        """Take every step that is left of one. Raises FAILURES: it is to be taken again."""
        if job.user_id is not None:
            self._renames(job.user_id, job.anonymous_id)
        if job.step is Step.FENCING:
            job = await self._fence(job)
        if job.step is Step.RENAMING:
            job = await self._rename(job)
        if job.step is Step.LIFTING:
            job = await self._lift(job)
        return job

    async def _fence(self, job: Job) -> Job:
        await asyncio.to_thread(self._papers.fence, job)
        doubtful = LATE_APPEND.total_seconds() - await self._let_go(job)
        # What a process that is gone has sent may land until then: the fence must stand still.
        lift_after = self._clock() + timedelta(seconds=max(doubtful, 0.0))
        await asyncio.to_thread(self._papers.seal, job)
        return await self._advance(job, Step.RENAMING, lift_after)

    async def _rename(self, job: Job) -> Job:
        await asyncio.to_thread(self._papers.settle, job)
        for _ in range(PASSES_MAX):
            renamed = await asyncio.to_thread(self._papers.rename, job)
            if renamed.get(STRIPE_RECORDS):  # A record may be on its way to a shard as it was.
                known, now = job.lift_after or self._clock(), self._clock()
                lift_after = max(known, now + timedelta(seconds=CALLS_SECONDS))
                job = await self._advance(job, Step.RENAMING, lift_after)
            await self._let_go(job)
            rest = ((job.lift_after or self._clock()) - self._clock()).total_seconds()
            if rest > 0:
                await self._sleep(rest)
            elif not renamed:
                return await self._advance(job, Step.LIFTING, job.lift_after)
        raise TimeoutError("something names the user anew all the time")

    async def _lift(self, job: Job) -> Job:
        assert job.user_id is not None, "it is not done"
        await asyncio.to_thread(self._papers.lift, job)
        self._renames(job.user_id, job.anonymous_id)
        await asyncio.to_thread(self._ledger.finish, job, self._clock())
        self._finished.set()
        return job._replace(step=Step.DONE, user_id=None)

    async def _let_go(self, job: Job) -> float:
        """Return for how many seconds no append of any shard was in doubt."""
        assert job.user_id is not None, "it is not done"
        table = await self._shards.directory()
        users = (job.user_id, job.anonymous_id)
        told = [self._shards.let_go(i, u) for i in range(table.shards) for u in users]
        return min(await asyncio.gather(*told))

    async def _advance(self, job: Job, step: Step, lift_after: datetime | None) -> Job:
        job = job._replace(step=step, lift_after=lift_after, waits_for=None)
        await asyncio.to_thread(self._ledger.advance, job)
        return job


def report_of(job: Job) -> AnonymizationReport:
    """Return an anonymisation as operators read of it: never with the id that was the user's."""
    return AnonymizationReport(
        anonymization_id=job.anonymization_id,
        anonymous_id=None if job.finished_at and not job.documents else job.anonymous_id,
        step=job.step.value,
        by=job.by,
        documents=dict(job.documents),
        started_at=job.started_at,
        finished_at=job.finished_at,
        waits_for=job.waits_for,
    )
