"""Makes users anonymous: a random id takes the place of theirs in everything that is stored.

    fence → have every shard let go → seal → settle → rename, in batches → have every shard let
    go again → rename what came meanwhile → lift

All that is known of how far it is stands in MongoDB, with the documents: whoever carries it out
may end at any instant, and another one goes on. Two at once do no harm: a batch is one
transaction, and what the other one has done is found done. `docs/anonymization.md` says why
each step is there.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from actors.janitor.anonymization_job import (
    Anonymization,
    EventsRelay,
    Ledger,
    Papers,
    Shards,
    Step,
    report_of,
)
from actors.protocol.errors import ShardLostError, TryAgainError
from actors.protocol.reports import AnonymizationReport, Anonymized
from actors.protocol.store import LATE_APPEND, StoreError
from domain.documents.anonymization import RANDOM_BYTES, anonymous_id, key_digests
from domain.values import UserId

POLL_SECONDS = 5.0  # How often it is looked for what another process has begun.
LOOK_SECONDS = 0.25  # How often whoever waits looks whether it is done.
RETRY_SECONDS = 1.0  # Pause after a step that failed.
ANSWER_SECONDS_MAX = 25.0  # How long whoever asks waits before being told that it goes on.
CALLS_SECONDS = 15.0  # How long what a shard is told of Stripe's may be on its way.
KEY_AGE = timedelta(days=31)  # So long an idempotency key has its first answer.
RELAY_SECONDS_MAX = 30.0  # How long a handler may have an event of the user.
PASSES_MAX = 20  # So often everything is gone through until a pass finds nothing.
STRIPE_RECORDS = "allotment_stripe_records"

FAILURES = (StoreError, ShardLostError, TryAgainError, TimeoutError)

logger = logging.getLogger(__name__)


class Anonymizations:
    """Begins anonymisations and carries them out."""

    def __init__(  # noqa: PLR0913 - what it stands on, each once
        self,
        ledger: Ledger,
        papers: Papers,
        shards: Shards,
        relay: EventsRelay,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        renames: Callable[[UserId, UserId], object] = lambda _old, _new: None,
        check_told: Callable[[], object] = lambda: None,
    ) -> None:
        """Tell `renames`, once and again, which id takes the place of which.

        `check_told` blocks; it raises StorageUnavailableError where a shard runs that the directory
        does not name yet, and that has been told nothing.
        """
        self._ledger = ledger
        self._papers = papers
        self._shards = shards
        self._relay = relay
        self._clock = clock
        self._sleep = sleep
        self._renames = renames
        self._check_told = check_told
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

    async def begin(
        self, user_id: UserId, by: str | None, key: str | None = None
    ) -> Anonymization | None:
        """Begin one, or join that which runs; None: the key was used for another user.

        Raises StorageUnavailableError.
        """
        found_by, used_for = key_digests(key, user_id) if key is not None else (None, None)
        job = Anonymization(
            f"anm_{secrets.token_hex(12)}",
            user_id,
            anonymous_id(user_id, secrets.token_hex(RANDOM_BYTES)),
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

    async def wait(self, job: Anonymization) -> Anonymization:
        """Return the anonymisation once it is done, or as it is after ANSWER_SECONDS_MAX."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                while job.step is not Step.DONE:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await self._finished.wait()
                    self._finished.clear()  # Another one may wait for it, and looks again soon.
                    known = await asyncio.to_thread(self._ledger.find, job.anonymization_id)
                    job = known or job
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

    async def _carry_on(self, job: Anonymization) -> None:
        """Carry one out as far as it goes now: one that waits keeps no other from being done."""
        try:
            await self.carry_out(job)
        except FAILURES as error:
            logger.warning("the anonymisation %s waits: %r", job.anonymization_id, error)
            await self._note(job, type(error).__name__.removesuffix("Error"))
            await self._sleep(RETRY_SECONDS)
            self._begun.set()
        except Exception as error:  # A defect in one keeps no other from being done.
            logger.exception("the anonymisation %s failed", job.anonymization_id)
            await self._note(job, f"a defect: {type(error).__name__}")

    async def _note(self, job: Anonymization, why: str) -> None:
        """Keep what an anonymisation waits for."""
        known = await asyncio.to_thread(self._ledger.find, job.anonymization_id)
        if known is not None and known.waits_for != why:
            await asyncio.to_thread(self._ledger.advance, known._replace(waits_for=why))

    async def carry_out(self, job: Anonymization) -> Anonymization:
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

    async def _fence(self, job: Anonymization) -> Anonymization:
        await asyncio.to_thread(self._papers.fence, job)
        doubtful = LATE_APPEND.total_seconds() - await self._let_go(job)
        # What a process that is gone has sent may land until then: the fence must stand still.
        lift_after = self._clock() + timedelta(seconds=max(doubtful, 0.0))
        await asyncio.to_thread(self._papers.seal, job)
        return await self._advance(job, Step.RENAMING, lift_after)

    async def _rename(self, job: Anonymization) -> Anonymization:
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
                await asyncio.to_thread(self._check_told)
                return await self._advance(job, Step.LIFTING, job.lift_after)
        raise TimeoutError("something names the user anew all the time")

    async def _lift(self, job: Anonymization) -> Anonymization:
        assert job.user_id is not None, "it is not done"
        await asyncio.to_thread(self._papers.lift, job)
        self._renames(job.user_id, job.anonymous_id)
        await asyncio.to_thread(self._ledger.finish, job, self._clock())
        self._finished.set()
        return job._replace(step=Step.DONE, user_id=None)

    async def _let_go(self, job: Anonymization) -> float:
        """Return for how many seconds no append of any shard was in doubt."""
        assert job.user_id is not None, "it is not done"
        table = await self._shards.directory()
        users = (job.user_id, job.anonymous_id)
        told = [self._shards.let_go(i, u) for i in range(table.shards) for u in users]
        seconds = min(await asyncio.gather(*told))
        async with asyncio.timeout(RELAY_SECONDS_MAX):
            await self._relay.let_go(job.user_id)
        return seconds

    async def _advance(
        self, job: Anonymization, step: Step, lift_after: datetime | None
    ) -> Anonymization:
        job = job._replace(step=step, lift_after=lift_after, waits_for=None)
        await asyncio.to_thread(self._ledger.advance, job)
        return job
