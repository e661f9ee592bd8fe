"""Runs jobs when their cron lines say so, one run of a job at a time, however many janitors.

claim the run → work, renewing the claim → report → finish. A run that fails is released and
tried again; the due times that passed while nobody ran are one run.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from actors.janitor.agenda import (
    CLAIM_SECONDS,
    Agenda,
    JobEntry,
    claimed,
    finished,
    released,
    renewed,
)
from actors.janitor.cron import due_after, due_at_or_before
from actors.protocol.errors import ShardLostError, TryAgainError
from actors.protocol.reports import Findings, SweepReport
from actors.protocol.store import StoreError
from actors.runtime.clock_doubt import ClockInDoubtError
from actors.runtime.steps_in_hand import STEP_SECONDS_MAX, StepsInHand

POLL_SECONDS = 15.0  # How often it is looked whether another janitor has left a run undone.
RUN_SECONDS_MAX = 3600.0  # A run that takes longer has failed.
ASK_SECONDS_MAX = 300.0  # How long a run that was asked for waits for another one to end.
ASK_PAUSE_SECONDS = 0.2

Run = Callable[[datetime], Awaitable[Findings]]
"""What a job does. It is given the instant it is due, or was asked for."""

FAILURES = (StoreError, ShardLostError, TryAgainError, TimeoutError, ClockInDoubtError)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A job and its cron line."""

    name: str
    line: str
    work: Run


class Janitor:
    """Follows an agenda. `owner` names this incarnation; `publish` is told of every report."""

    def __init__(  # noqa: PLR0913 - what it stands on, each once
        self,
        owner: str,
        jobs: list[Job],
        agenda: Agenda,
        *,
        clock: Callable[[], datetime],
        timezone: str,
        publish: Callable[[SweepReport], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.jobs: Mapping[str, Job] = {job.name: job for job in jobs}
        self._owner = owner
        self._agenda = agenda
        self._clock = clock
        self._timezone = timezone
        self._publish = publish
        self._sleep = sleep
        self._held: dict[str, JobEntry] = {}
        self.steps = StepsInHand(time.monotonic)

    async def follow(self, job: Job) -> None:
        """Run a job for ever, whenever it is due."""
        while True:
            try:
                with self.steps.step(f"the job {job.name}", RUN_SECONDS_MAX + STEP_SECONDS_MAX):
                    await self.turn(job)
            except ClockInDoubtError as error:
                logger.error("%s waits: %s", job.name, error)  # noqa: TRY400 - it says it all
            except FAILURES as error:
                logger.warning("%s was not finished and will be tried again: %r", job.name, error)
            except Exception:  # A defect in one job keeps no other from running.
                logger.exception("%s failed and will be tried again", job.name)
            now = self._clock()
            pause = (due_after(job.line, now, self._timezone) - now).total_seconds()
            await self._sleep(min(pause, POLL_SECONDS))

    async def turn(self, job: Job) -> SweepReport | None:
        """Run a job if it is due and nobody else does. Raises one of FAILURES."""
        due = due_at_or_before(job.line, self._clock(), self._timezone)
        if not await self._claim(job.name, due):
            return None
        return await self._run(job, job.work, due, f"{job.name}-{due:%Y%m%dT%H%M%SZ}")

    async def ask(self, name: str, work: Run | None = None) -> SweepReport:
        """Run a job now, or this work in its place, after a run that is on its way.

        Raises one of FAILURES.
        """
        async with asyncio.timeout(ASK_SECONDS_MAX):
            while not await self._claim(name, None):
                await self._sleep(ASK_PAUSE_SECONDS)
        job, now = self.jobs[name], self._clock()
        sweep_id = f"{name}-{now:%Y%m%dT%H%M%SZ}-asked-{self._held[name].revision}"
        return await self._run(job, work or job.work, None, sweep_id)

    async def close(self) -> None:
        """Release what is claimed: to be called once nothing runs any more."""
        for name in list(self._held):
            await self._give_back(name)

    async def _claim(self, name: str, due: datetime | None) -> bool:
        now = self._clock()
        entry = await asyncio.to_thread(self._agenda.entry, name, now)
        mine = claimed(entry, self._owner, due, now)
        if mine is None or name in self._held:
            return False
        self._held[name] = mine
        try:
            won = await asyncio.to_thread(self._agenda.replace, mine)
        except BaseException:
            del self._held[name]
            raise
        if not won:
            del self._held[name]
        return won

    async def _run(self, job: Job, work: Run, due: datetime | None, sweep_id: str) -> SweepReport:
        started = self._clock()
        keeping = asyncio.create_task(self._keep_claim(job.name))
        try:
            async with asyncio.timeout(RUN_SECONDS_MAX):
                found = await work(due or started)
            report = make_report(sweep_id, job.name, started, self._clock() - started, found)
            await asyncio.to_thread(self._agenda.keep, report)
        except BaseException:  # A cancelled run is given back, too: it is due still.
            await self._stop(keeping)
            await self._give_back(job.name)
            raise
        await self._stop(keeping)
        entry = self._held.pop(job.name)
        if not await asyncio.to_thread(self._agenda.replace, finished(entry, due)):
            logger.warning("%s: another janitor has taken the run over", job.name)
        self._publish(report)
        return report

    async def _keep_claim(self, name: str) -> None:
        """Renew a claim for ever. One that is lost is let go: what runs may be run twice."""
        while True:
            await asyncio.sleep(CLAIM_SECONDS / 4)
            entry = renewed(self._held[name], self._clock())
            with contextlib.suppress(StoreError):
                if await asyncio.to_thread(self._agenda.replace, entry):
                    self._held[name] = entry

    async def _stop(self, task: "asyncio.Task[None]") -> None:
        task.cancel()
        await asyncio.wait([task])

    async def _give_back(self, name: str) -> None:
        entry = self._held.pop(name)
        with contextlib.suppress(StoreError):  # Then the claim runs out by itself.
            await asyncio.to_thread(self._agenda.replace, released(entry))


def make_report(
    sweep_id: str, job: str, started: datetime, elapsed: timedelta, found: Findings
) -> SweepReport:
    """Return the report of a run."""
    return SweepReport(
        sweep_id=sweep_id,
        job=job,
        started_at=started,
        elapsed_ms=round(elapsed.total_seconds() * 1000),
        drift=found.drift,
        **asdict(found),
    )
