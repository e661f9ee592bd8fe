"""Nobody waits for ever on the way to a shard, and nobody disturbs those who wait."""

import asyncio

import pytest

from actors.protocol.calls import OVERLOADED, UNAVAILABLE, Outcome
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import SubscriptionsQuery
from actors.routing import queue as queue_module
from actors.routing.router import Router
from domain.values import UserId
from tests.fakes.noting_shards import FakeShards, texts
from tests.fakes.shards import charge_call, in_loop, until
from tests.patience import PATIENCE_SECONDS

SECONDS = PATIENCE_SECONDS
USERS = [UserId(f"u-{number}") for number in range(40)]
STRANGER = UserId("somebody else")  # Whose status has the directory read.
CALLS = [charge_call(user_id, 1, f"key of {user_id}") for user_id in USERS]


@in_loop
async def test_a_caller_that_goes_away_disturbs_nobody_else() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.gate.clear()
    callers = [asyncio.create_task(router.call(call)) for call in CALLS]
    await until(lambda: len(shards.sent) == 2)

    for caller in callers[::2]:
        caller.cancel()
    await asyncio.gather(*callers[::2], return_exceptions=True)
    shards.gate.set()

    replies = await asyncio.gather(*callers[1::2])
    assert texts(replies) == [call.key for call in CALLS[1::2]]


@in_loop
async def test_the_caller_that_reads_the_directory_may_go_away() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)
    shards.gate.clear()
    first, second = (asyncio.create_task(router.call(call)) for call in CALLS[:2])
    await until(lambda: shards.directories_read == 1)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    shards.gate.set()

    assert texts([await second]) == [CALLS[1].key]
    assert shards.directories_read == 1


@in_loop
async def test_nothing_is_sent_for_callers_that_have_all_gone() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.sent.clear()
    shards.gate.clear()
    callers = [asyncio.create_task(router.call(CALLS[0]))]
    await until(lambda: len(shards.sent) == 1)  # On its way; the next call waits.
    callers.append(asyncio.create_task(router.call(CALLS[1])))
    await asyncio.sleep(0)

    callers[1].cancel()
    shards.gate.set()
    await asyncio.gather(*callers, return_exceptions=True)
    await router.call(CALLS[2])

    assert shards.keys == [[CALLS[0].key], [CALLS[2].key]]


@pytest.mark.parametrize("reached", ["directory", "shard"])
@in_loop
async def test_what_has_no_answer_in_time_is_unavailable(reached: str) -> None:
    shards = FakeShards()
    router = Router(shards, 0.02)
    if reached == "shard":
        await router.status(STRANGER)
    shards.gate.clear()

    replies = await asyncio.gather(
        router.call(CALLS[0]), router.status(USERS[0]), router.query(SubscriptionsQuery(USERS[0]))
    )
    many = await router.calls(CALLS)

    assert [*replies] == [UNAVAILABLE] * 3
    assert many == [UNAVAILABLE] * len(CALLS)


@in_loop
async def test_a_deadline_keeps_the_answers_that_came() -> None:
    shards = FakeShards(4)
    router = Router(shards, 0.3)
    await router.status(STRANGER)
    shards.faults = [ShardLostError] * 2

    async def lose_two_shards_for_ever() -> None:
        while True:
            await until(lambda: not shards.faults)
            shards.faults = [ShardLostError] * 2

    losing = asyncio.create_task(lose_two_shards_for_ever())
    replies = await router.calls(CALLS)
    losing.cancel()
    await asyncio.gather(losing, return_exceptions=True)

    assert {reply.outcome for reply in replies} == {Outcome.DONE, Outcome.UNAVAILABLE}
    answered = [(c.key, t) for c, t in zip(CALLS, texts(replies), strict=True) if t]
    assert all(key == text for key, text in answered)


@in_loop
async def test_a_full_queue_is_overloaded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "QUEUE_LENGTH_MAX", 3)
    shards = FakeShards()
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.gate.clear()
    shards.sent.clear()
    waiting = [asyncio.create_task(router.call(CALLS[0]))]
    await until(lambda: len(shards.sent) == 1)  # On its way; the next three calls wait.
    waiting += [asyncio.create_task(router.call(call)) for call in CALLS[1:4]]
    await asyncio.sleep(0)

    assert await router.call(CALLS[4]) == OVERLOADED
    shards.gate.set()

    replies = await asyncio.gather(*waiting)
    assert texts(replies) == [call.key for call in CALLS[:4]]
