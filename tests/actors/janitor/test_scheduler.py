"""Jobs run when they are due: once each, one at a time, by one janitor of several."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from actors.janitor.agenda import CLAIM_SECONDS, REPORTS_AGE_MAX, Agenda, claimed
from actors.janitor.scheduler import Janitor, Job
from actors.mongo.jobs.agenda import MongoAgenda
from actors.protocol.reports import SweepReport
from actors.protocol.store import StorageUnavailableError
from tests.builders.authors import NOON
from tests.fakes.janitor import EVERY_FIVE, MINUTE, Works, janitor
from tests.fakes.memory_agenda import MemoryAgenda
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, in_loop, until


@pytest.fixture(params=["memory", "mongomock", "embedded"])
def agenda(request: pytest.FixtureRequest) -> Agenda:
    """Return every agenda there is."""
    if request.param == "memory":
        return MemoryAgenda()
    setup: MongoSetup = request.getfixturevalue(request.param)
    return MongoAgenda(setup.database)


@asynccontextmanager
async def begun(agenda: Agenda) -> AsyncIterator[tuple[Works, Clock]]:
    """Let the agenda begin two minutes past noon."""
    clock = Clock(NOON + 2 * MINUTE)
    agenda.entry("sweep", clock())
    yield Works(), clock


async def turn(one: Janitor) -> SweepReport | None:
    return await one.turn(one.jobs["sweep"])


@in_loop
async def test_a_job_runs_at_its_time_and_once(agenda: Agenda) -> None:
    async with begun(agenda) as (work, clock):
        one = janitor(agenda, work, clock)

        early = await turn(one)
        clock.advance(minutes=3)
        report = await turn(one)
        again = await turn(one)

    assert early is None
    assert again is None
    assert work.dues == [NOON + 5 * MINUTE]
    assert report is not None
    assert (report.job, report.checked, report.stale, report.drift) == ("sweep", 4, 1, 0.25)
    assert agenda.reports(9) == agenda.reports(9, "sweep") == [report]
    assert agenda.reports(9, "expire") == []


@in_loop
async def test_what_was_missed_while_nobody_ran_is_one_run_at_the_next_start(
    agenda: Agenda,
) -> None:
    async with begun(agenda) as (work, clock):
        await turn(janitor(agenda, work, clock))
        clock.advance(hours=7)

        later = janitor(agenda, work, clock, "later")
        reports = [await turn(later), await turn(later)]

    assert [report is not None for report in reports] == [True, False]
    assert work.dues == [NOON + timedelta(hours=7)]


@in_loop
async def test_of_two_janitors_one_claims_a_run(agenda: Agenda) -> None:
    async with begun(agenda) as (work, clock):
        clock.advance(minutes=3)
        both = [janitor(agenda, work, clock, name) for name in ("first", "second")]

        reports = await asyncio.gather(*map(turn, both))

    assert [report is None for report in reports].count(True) == 1
    assert len(work.dues) == 1


@in_loop
async def test_a_job_that_takes_long_is_not_begun_a_second_time_meanwhile(agenda: Agenda) -> None:
    async with begun(agenda) as (work, clock):
        clock.advance(minutes=3)
        work.gate.clear()
        first, second = janitor(agenda, work, clock), janitor(agenda, work, clock, "second")
        running = asyncio.create_task(turn(first))
        await until(lambda: work.dues)

        clock.advance(seconds=CLAIM_SECONDS - 1)
        meanwhile = [await turn(first), await turn(second)]
        asked = asyncio.create_task(second.ask("sweep"))
        await asyncio.sleep(0.01)
        begun_meanwhile = len(work.dues)
        work.gate.set()
        await asyncio.gather(running, asked)

    assert meanwhile == [None, None]
    assert begun_meanwhile == 1
    assert len(work.dues) == 2


@in_loop
async def test_a_run_whose_janitor_was_killed_is_run_again_once_its_claim_has_expired(
    agenda: Agenda,
) -> None:
    async with begun(agenda) as (work, clock):
        clock.advance(minutes=3)
        entry = agenda.entry("sweep", clock())
        killed = claimed(entry, "killed", NOON + 5 * MINUTE, clock())
        assert killed is not None
        agenda.replace(killed)
        later = janitor(agenda, work, clock, "later")

        too_early = await turn(later)
        clock.advance(seconds=CLAIM_SECONDS)
        report = await turn(later)

    assert too_early is None
    assert report is not None
    assert work.dues == [NOON + 5 * MINUTE]


@in_loop
async def test_a_run_that_fails_is_tried_again_under_its_due_time(agenda: Agenda) -> None:
    async with begun(agenda) as (work, clock):
        clock.advance(minutes=3)
        work.failures = 1
        one = janitor(agenda, work, clock)

        with pytest.raises(StorageUnavailableError):
            await turn(one)
        report = await turn(one)

    assert report is not None
    assert work.dues == [NOON + 5 * MINUTE] * 2


@in_loop
async def test_a_run_that_is_cancelled_is_given_back_at_once(agenda: Agenda) -> None:
    async with begun(agenda) as (work, clock):
        clock.advance(minutes=3)
        work.gate.clear()
        one = janitor(agenda, work, clock)
        running = asyncio.create_task(turn(one))
        await until(lambda: work.dues)
        running.cancel()
        await asyncio.wait([running])

        work.gate.set()

        assert await turn(janitor(agenda, work, clock, "later")) is not None


@in_loop
async def test_a_janitor_goes_on_through_failures_and_runs_each_time_once() -> None:
    agenda = MemoryAgenda()
    async with begun(agenda) as (work, clock):
        work.failures = 2
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            clock.advance(seconds=seconds)
            agenda.unavailable = len(slept) in range(30, 34)
            await asyncio.sleep(0)

        jobs = [Job("sweep", EVERY_FIVE, work)]
        one = Janitor("one", jobs, agenda, clock=clock, timezone="UTC", sleep=sleep)
        following = asyncio.create_task(one.follow(one.jobs["sweep"]))
        await until(lambda: clock() > NOON + timedelta(hours=1))
        following.cancel()

    dues = sorted(set(work.dues))
    assert dues == [NOON + 5 * MINUTE * n for n in range(1, len(dues) + 1)]
    assert len(dues) >= 11
    assert len(work.dues) == len(dues) + 2
    assert max(slept) <= 15


@in_loop
async def test_old_reports_are_removed(agenda: Agenda) -> None:
    async with begun(agenda) as (work, clock):
        one = janitor(agenda, work, clock)
        await one.ask("sweep")
        clock.advance(seconds=REPORTS_AGE_MAX.total_seconds() + 1)

        newest = await one.ask("sweep")

    assert agenda.reports(9) == [newest]
