"""The test clock: forward only, for the whole service, and only where it is enabled."""

import asyncio
from datetime import timedelta

import pytest

from actors.runtime.clock import ServiceClock, TestClock, TimeGoesForwardError
from tests.builders.authors import NOON
from tests.fakes.edge import CREDITS, USAGE, LocalBackend, edge
from tests.fakes.shards import Clock, in_loop

MONTH = timedelta(days=31)


class Offsets:
    """A clock store in RAM."""

    def __init__(self) -> None:
        self.kept = timedelta(0)

    def offset(self) -> timedelta:
        return self.kept

    def advance(self, offset: timedelta) -> timedelta:
        self.kept = max(self.kept, offset)
        return self.kept


class Parts:
    """Whoever is told of a new time."""

    def __init__(self) -> None:
        self.told: list[timedelta] = []

    async def __call__(self, ahead: timedelta) -> None:
        self.told.append(ahead)


def standing() -> ServiceClock:
    return ServiceClock(lambda: NOON)


@in_loop
async def test_a_time_that_is_set_is_told_to_all_parts_and_kept() -> None:
    clock, store, parts = standing(), Offsets(), Parts()

    now = await TestClock(clock, store, parts).set(NOON + MONTH)

    assert now == clock() == NOON + MONTH
    assert parts.told == [store.kept] == [MONTH]


@in_loop
async def test_time_never_runs_backwards() -> None:
    clock, store = standing(), Offsets()
    test_clock = TestClock(clock, store, Parts())
    await test_clock.set(NOON + MONTH)

    with pytest.raises(TimeGoesForwardError):
        await test_clock.set(NOON + MONTH - timedelta(seconds=1))
    clock.set_forward(timedelta(days=1))

    assert clock() == NOON + MONTH


@in_loop
async def test_another_process_takes_up_what_was_set() -> None:
    store = Offsets()
    await TestClock(standing(), store, Parts()).set(NOON + MONTH)

    assert await TestClock(standing(), store, Parts()).now() == NOON + MONTH


@in_loop
async def test_sleepers_wake_when_the_clock_is_set_forward() -> None:
    clock = standing()
    sleeping = asyncio.create_task(clock.sleep(3600))
    await asyncio.sleep(0)

    clock.set_forward(timedelta(hours=1))
    await sleeping

    assert clock() == NOON + timedelta(hours=1)


@in_loop
async def test_a_sleep_lasts_as_long_as_it_says_where_nobody_sets_the_clock() -> None:
    clock, loop = standing(), asyncio.get_running_loop()
    began = loop.time()

    await clock.sleep(0.02)

    assert 0.02 <= loop.time() - began < 5
    assert clock() == NOON


def clock_of(backend: LocalBackend) -> Clock:
    """Return the clock of the one shard, which stands."""
    clock = backend.shards.shard._clock
    assert isinstance(clock, Clock)
    return clock


@in_loop
async def test_the_interface_sets_the_clock_forward_and_refuses_the_past() -> None:
    async with edge() as (http, backend):
        await http.post("/subscription/credits", json=CREDITS)
        clock = standing()

        async def tell(ahead: timedelta) -> None:
            clock_of(backend).now = NOON + ahead

        backend.test_clock = TestClock(clock, Offsets(), tell)
        body = {"now": (NOON + MONTH).isoformat()}
        set_forward = await http.put("/admin/test-clock", json=body)
        shown = await http.get("/subscription/status", params={"user_id": "ada"})
        listed = await http.get("/subscriptions", params={"status": "active"})
        back = await http.put("/admin/test-clock", json={"now": NOON.isoformat()})
        odd = await http.put("/admin/test-clock", json={"now": 1e9})

    assert set_forward.json() == {"now": "2026-04-10T12:00:00Z"}
    assert shown.json()["as_of"] == "2026-04-10T12:00:00Z"
    assert shown.json()["status"] == "expired"
    assert listed.json()["items"] == []
    assert (back.status_code, back.json()["code"]) == (422, "invalid_request")
    assert "backwards" in back.json()["detail"]
    assert odd.status_code == 422


@in_loop
async def test_a_refusal_says_when_to_come_again_by_the_services_clock() -> None:
    async with edge() as (http, backend):
        await http.post("/subscription/credits", json=CREDITS)
        dear = USAGE | {"credit_amount": 91}
        at_noon = await http.post("/subscription/usage", json=dear)
        ahead = timedelta(hours=11)
        clock_of(backend).now = NOON + ahead
        offsets = Offsets()
        offsets.advance(ahead)  # As another replica has set it.
        backend.test_clock = TestClock(standing(), offsets, Parts())
        at_eleven = await http.post("/subscription/usage", json=dear)

    assert at_noon.json()["available_at"] == "2026-03-11T00:00:00Z"
    assert at_noon.headers["Retry-After"] == "43200"
    assert at_eleven.headers["Retry-After"] == "3600"
