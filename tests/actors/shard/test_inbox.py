"""What waits for a shard waits for a bounded time: past it, callers are told so at once."""

import asyncio

import pytest

from actors.protocol.calls import OVERLOADED, UNAVAILABLE, Call
from actors.shard.inbox import BATCH_OF_ONE_USER_MAX, WAITING_SECONDS_MAX, Inbox
from domain.values import UserId
from tests.fakes.shards import charge_call, in_loop

ANN, BOB = UserId("ann"), UserId("bob")


def calls(count: int) -> list[Call]:
    return [charge_call(ANN, 1, f"{number}") for number in range(count)]


@in_loop
async def test_nothing_is_taken_behind_a_call_that_has_waited_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox = Inbox()
    first, second, third = calls(3)
    waiting = inbox.put(ANN, first)
    beside_it = inbox.put(ANN, second)
    monkeypatch.setattr("actors.shard.inbox.WAITING_SECONDS_MAX", 0.0)

    assert inbox.put(ANN, third) is None
    assert inbox.refusal == OVERLOADED
    batch = await inbox.take()

    assert [work.reply for work in batch] == [waiting, beside_it]
    assert inbox.put(ANN, third) is not None


@in_loop
async def test_where_one_batch_takes_that_long_it_is_the_storage_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox = Inbox()
    inbox.put(ANN, calls(1)[0])
    await inbox.take()
    inbox.put(ANN, calls(2)[1])
    monkeypatch.setattr("actors.shard.inbox.WAITING_SECONDS_MAX", 0.0)

    assert inbox.put(ANN, calls(3)[2]) is None
    assert inbox.refusal == UNAVAILABLE
    inbox.finish()

    assert inbox.refusal == OVERLOADED


@in_loop
async def test_nobody_is_refused_for_how_long_a_call_was_set_aside() -> None:
    inbox = Inbox()
    waiting = inbox.put(ANN, calls(1)[0])
    taken = await inbox.take()
    inbox.set_aside(taken)
    inbox.finish()
    taken[0].since -= 2 * WAITING_SECONDS_MAX
    inbox.take_back(taken)

    assert inbox.put(BOB, charge_call(BOB, 1, "b")) is not None
    assert (await inbox.take())[0].reply is waiting


@in_loop
async def test_a_user_with_many_calls_lets_others_go_between_and_keeps_their_order() -> None:
    inbox = Inbox()
    many = [inbox.put(ANN, call) for call in calls(2 * BATCH_OF_ONE_USER_MAX + 1)]
    between = inbox.put(BOB, charge_call(BOB, 1, "b"))

    batches = []
    while len(inbox):
        batches.append([work.reply for work in await inbox.take()])
        inbox.finish()

    size = BATCH_OF_ONE_USER_MAX
    assert batches == [[*many[:size], between], many[size : 2 * size], many[2 * size :]]


@in_loop
async def test_it_is_settled_once_all_that_had_arrived_is_answered() -> None:
    inbox = Inbox()
    for call in calls(BATCH_OF_ONE_USER_MAX + 1):
        inbox.put(ANN, call)
    settled = asyncio.ensure_future(inbox.settle())

    seen = []
    for user in (BOB, BOB, BOB):
        inbox.put(user, charge_call(user, 1, "later"))
        await inbox.take()
        await asyncio.sleep(0)
        seen.append(settled.done())
        inbox.finish()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert seen == [False, False, True]


@in_loop
async def test_what_waits_of_users_is_refused_and_nobody_elses() -> None:
    inbox = Inbox()
    anns = [inbox.put(ANN, call) for call in calls(2)]
    bobs = inbox.put(BOB, charge_call(BOB, 1, "b"))

    inbox.refuse({ANN})

    assert [waiting.result() for waiting in anns if waiting] == [UNAVAILABLE] * 2
    assert [work.reply for work in await inbox.take()] == [bobs]
    inbox.finish()
    await inbox.settle()
