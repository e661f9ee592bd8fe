"""The batches of one user go on at a pace while others call, and at once where nobody does."""

import asyncio

import pytest

from actors.protocol.calls import OVERLOADED
from actors.routing import batch_pace
from actors.routing.batch_pace import BatchPace
from actors.routing.others import Others
from actors.routing.router import Router
from domain.values import UserId
from tests.fakes.noting_shards import FakeShards, texts
from tests.fakes.shards import charge_call, in_loop
from tests.patience import PATIENCE_SECONDS

SECONDS = PATIENCE_SECONDS
BUSY, OTHER = UserId("busy"), UserId("other")
HUNDRED = [BUSY] * 100
CALLS = [charge_call(BUSY, 1, f"key {number}") for number in range(100)]
ONE = charge_call(OTHER, 1, "key of another")
NO_WAITING = -1.0  # A batch that would wait is refused.


def others_now() -> Others:
    others, now = Others(), asyncio.get_running_loop().time()
    others.note(BUSY, now)
    others.note(OTHER, now)
    return others


@in_loop
async def test_while_others_call_a_user_has_four_times_the_pace_in_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_pace, "TURN_SECONDS_MAX", 0.35)
    pace = BatchPace(250, others_now())

    in_time = await asyncio.gather(*(pace.turn(HUNDRED) for _ in range(5)))

    assert in_time == [True, True, True, True, False]  # After 0, 0.1, 0.2, 0.3 and 0.4 s.


@in_loop
async def test_nobody_waits_who_calls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_pace, "TURN_SECONDS_MAX", NO_WAITING)
    pace = BatchPace(1, Others())

    assert [await pace.turn(HUNDRED) for _ in range(10)] == [True] * 10


@in_loop
async def test_the_users_of_one_batch_are_not_each_others_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_pace, "TURN_SECONDS_MAX", NO_WAITING)
    router = Router(FakeShards(), SECONDS, user_pace=1)

    for _ in range(3):
        assert OVERLOADED not in await router.calls([*CALLS, ONE])


@in_loop
async def test_a_batch_whose_turn_would_come_too_late_is_refused_whole_and_unsent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_pace, "TURN_SECONDS_MAX", 0.0)
    shards = FakeShards()
    router = Router(shards, SECONDS, user_pace=1)
    await router.calls([ONE])
    assert texts(await router.calls(CALLS)) == [call.key for call in CALLS]
    shards.sent.clear()

    assert await router.calls(CALLS) == [OVERLOADED] * len(CALLS)
    assert shards.sent == []
    assert OVERLOADED not in await router.calls([charge_call(UserId("third"), 1, "key")])


@in_loop
async def test_who_has_gone_before_its_turn_takes_none() -> None:
    pace = BatchPace(100, others_now())
    assert await pace.turn(HUNDRED)
    waiting = [asyncio.create_task(pace.turn(HUNDRED)) for _ in range(10)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    async with asyncio.timeout(2.0):  # Of what was cancelled it would be 2.75 seconds.
        assert await pace.turn(HUNDRED)


@in_loop
async def test_so_many_batches_wait_and_more_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_pace, "WAITING_MAX", 2)
    pace = BatchPace(100, others_now())
    assert await pace.turn(HUNDRED)
    waiting = [asyncio.create_task(pace.turn(HUNDRED)) for _ in range(2)]
    await asyncio.sleep(0)

    assert not await pace.turn(HUNDRED)
    assert await pace.turn([OTHER])
    assert not any(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [True, True]
