"""What waits for a shard waits for a bounded time: past it, callers are told so at once."""

import pytest

from actors.protocol.calls import OVERLOADED, UNAVAILABLE, Call
from actors.shard.inbox import Inbox, Work
from domain.values import UserId
from tests.fakes.shards import charge_call, in_loop

ANN = UserId("ann")


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
    batch: list[Work] = await inbox.take()
    inbox.put(ANN, calls(2)[1])
    monkeypatch.setattr("actors.shard.inbox.WAITING_SECONDS_MAX", 0.0)

    assert inbox.put(ANN, calls(3)[2]) is None
    assert inbox.refusal == UNAVAILABLE
    inbox.finish(batch)

    assert inbox.refusal == OVERLOADED
