"""A clock that jumps a year ahead and back: everybody has what they had, and nothing is forgotten."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from actors.janitor.jobs import EXPIRE, TRIM
from actors.mongo.clock import MongoWitnesses
from actors.protocol.store import StorageUnavailableError
from actors.runtime.clock import ServiceClock
from actors.runtime.clock_doubt import ClockInDoubtError, Witness, check_time
from actors.runtime.steady_time import JUMP_MAX, SteadyTime
from domain.values import UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.janitor import jobs_on
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Clock, ask_one, charge_call, credit_call, in_loop, running, status

ANN = UserId("ann")
YEAR = timedelta(days=400)
MINUTE = timedelta(minutes=1)


@dataclass
class Machine:
    """A machine whose clock may be set, beside the time that passes on it."""

    ahead: timedelta = timedelta(0)
    passed: timedelta = timedelta(0)

    def wall(self) -> datetime:
        return NOON + self.passed + self.ahead

    def seconds(self) -> float:
        return self.passed.total_seconds()

    def time(self) -> SteadyTime:
        return SteadyTime(self.wall, self.seconds)


def test_a_clock_that_jumps_ahead_is_not_followed_and_one_that_comes_back_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine()
    time = machine.time()
    machine.ahead = YEAR
    for _ in range(3):
        machine.passed += MINUTE
        assert time() == NOON + machine.passed
    machine.ahead = timedelta(seconds=2)

    assert time() == NOON + machine.passed + machine.ahead
    assert caplog.text.count("has jumped ahead by 400 days") == 1
    assert "is followed again" in caplog.text


@pytest.mark.parametrize("ahead", [JUMP_MAX, timedelta(hours=2), -timedelta(hours=2), -YEAR])
def test_a_clock_that_is_set_by_less_or_back_is_followed(ahead: timedelta) -> None:
    machine = Machine()
    time = machine.time()
    machine.ahead = ahead

    assert time() == NOON + ahead


def test_time_that_has_passed_is_no_jump() -> None:
    machine = Machine()
    time = machine.time()
    machine.passed = YEAR

    assert time() == NOON + YEAR


@in_loop
async def test_who_is_charged_amid_a_jump_is_charged_today() -> None:
    machine, store = Machine(), MemoryStore()
    clock = ServiceClock(machine.time())
    async with running(store, clock=clock) as shard:
        await ask_one(shard, credit_call(ANN, 3000, 30))
        before = await status(shard, ANN)
        machine.ahead, machine.passed = YEAR, MINUTE
        await ask_one(shard, charge_call(ANN, 5, "k"))
        amid = await status(shard, ANN)
        machine.ahead = timedelta(0)
        after = await status(shard, ANN)
        await shard.settle()

    assert (amid.status, amid.date) == ("active", before.date)
    assert after.remaining_credits == before.remaining_credits - 5
    assert [day["credits_used"] for day in store.collections["dailycredits"].values()] == [5]


# --- what cannot be undone ----------------------------------------------------------------


@dataclass
class Others:
    """What others say about the time."""

    database: datetime | None = None
    looked_at: datetime | None = None
    noted: list[datetime] = field(default_factory=list)

    def ask(self) -> Witness:
        return Witness(self.database, self.looked_at)

    def note(self, now: datetime) -> None:
        self.looked_at = now
        self.noted.append(now)


@pytest.mark.parametrize(
    ("others", "says"),
    [
        (Others(database=NOON - YEAR), "that of the database"),
        (Others(database=NOON + YEAR), "that of the database"),
        (Others(looked_at=NOON - YEAR), "accept-clock"),
        (Others(NOON, NOON - JUMP_MAX - MINUTE), "accept-clock"),
    ],
)
def test_a_time_that_others_do_not_confirm_is_in_doubt(others: Others, says: str) -> None:
    with pytest.raises(ClockInDoubtError, match=says):
        check_time(others, NOON)
    assert not others.noted


@pytest.mark.parametrize(
    "others",
    [
        Others(),
        Others(NOON - timedelta(hours=2), NOON - MINUTE),
        Others(looked_at=NOON - JUMP_MAX),
        Others(looked_at=NOON + YEAR),  # Somebody took a wrong time for right: it is mended.
    ],
)
def test_a_time_that_others_confirm_is_kept(others: Others) -> None:
    check_time(others, NOON)

    assert others.looked_at == NOON


@pytest.mark.parametrize("job", [EXPIRE, TRIM])
@in_loop
async def test_after_a_start_with_a_clock_a_year_ahead_nothing_expires_and_nothing_is_forgotten(
    embedded: MongoSetup, job: str, caplog: pytest.LogCaptureFixture
) -> None:
    author = Author(ANN)
    write(embedded.store, [author.add(), author.use(30)])
    others = Others(looked_at=NOON)
    clock = Clock(NOON + YEAR)
    jobs = jobs_on(embedded, clock, check_time=lambda: check_time(others, clock()))
    with caplog.at_level(logging.ERROR), pytest.raises(ClockInDoubtError):
        await jobs.janitor.ask(job)
    assert len(embedded.documents("allotment_journal")) == 2

    clock.now = NOON + MINUTE
    report = await jobs.janitor.ask(job)

    assert (report.expired, report.trimmed) == (0, 0)
    assert len(embedded.documents("allotment_journal")) == 2


@pytest.mark.parametrize("fails", [False, True])
@in_loop
async def test_a_clock_that_goes_on_is_in_no_doubt_however_rarely_jobs_run(
    embedded: MongoSetup, fails: bool
) -> None:
    others, clock = Others(looked_at=NOON), Clock(NOON)

    def look() -> None:
        if fails and clock().hour % 2:
            raise StorageUnavailableError("a fault was asked for")
        check_time(others, clock())

    async def sleep(seconds: float) -> None:
        clock.advance(seconds=seconds)
        if clock() > NOON + timedelta(days=3):
            raise asyncio.CancelledError

    jobs = jobs_on(embedded, clock, check_time=look, sleep=sleep)

    with pytest.raises(asyncio.CancelledError):
        await jobs.watch_time()
    clock.now = clock().replace(hour=12)
    report = await jobs.janitor.ask(EXPIRE)

    assert report.expired == 0
    assert others.looked_at == clock()


@in_loop
async def test_to_look_at_a_doubtful_time_makes_it_no_better(embedded: MongoSetup) -> None:
    others, clock = Others(looked_at=NOON), Clock(NOON + YEAR)
    looks = 0

    async def sleep(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise asyncio.CancelledError

    jobs = jobs_on(embedded, clock, check_time=lambda: check_time(others, clock()), sleep=sleep)

    with pytest.raises(asyncio.CancelledError):
        await jobs.watch_time()

    assert others.looked_at == NOON


@in_loop
async def test_what_an_operator_accepts_goes_on(embedded: MongoSetup) -> None:
    witnesses = MongoWitnesses(embedded.database)
    real = witnesses.ask().database
    assert real is not None, "servers tell their time"
    assert abs(real - ServiceClock().real()) < timedelta(hours=1)
    witnesses.note(real - YEAR)
    with pytest.raises(ClockInDoubtError, match="accept-clock"):
        check_time(witnesses, real)

    witnesses.note(real)

    check_time(witnesses, real + MINUTE)
    assert witnesses.ask().looked_at == real + MINUTE
