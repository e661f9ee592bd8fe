"""A batch with many calls of one user goes on at a pace while others call, and at once where nobody does."""

import asyncio
from collections import Counter

import pytest

from actors.protocol.calls import OVERLOADED
from actors.protocol.errors import ShardLostError
from actors.routing import batch_pace
from actors.routing.batch_pace import ROUND_OF_ONE_USER_MAX as ROUND
from actors.routing.batch_pace import TIMES_THE_PACE, BatchPace
from actors.routing.others import Others
from actors.routing.router import Router
from domain.values import UserId
from tests.fakes.noting_shards import FakeShards, texts
from tests.fakes.shards import charge_call, in_loop
from tests.patience import PATIENCE_SECONDS

SECONDS = PATIENCE_SECONDS
PACE = 1_000
BUSY, OTHER, THIRD = UserId("busy"), UserId("other"), UserId("third")
MANY = [charge_call(BUSY, 1, f"key {number}") for number in range(3 * ROUND + 1)]
ONE = charge_call(OTHER, 1, "key of another")


def test_calls_of_one_user_are_sent_in_rounds_and_keep_their_order() -> None:
    items = [BUSY] * ROUND + [OTHER] * 3 + [BUSY] * (ROUND + 5)
    rounds = list(BatchPace(PACE, Others()).rounds(items))

    assert sorted(place for places in rounds for place in places) == list(range(len(items)))
    assert [Counter(items[place] for place in places) for places in rounds] == [
        {BUSY: ROUND, OTHER: 3},
        {BUSY: ROUND},
        {BUSY: 5},
    ]
    busy = [place for places in rounds for place in places if items[place] == BUSY]
    assert busy == sorted(busy)


def test_without_a_pace_there_is_one_round() -> None:
    assert list(BatchPace(0, Others()).rounds([BUSY] * 100)) == [list(range(100))]


async def seconds_of(pace: BatchPace, turns: int) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(turns):
        assert await pace.turn([BUSY] * ROUND)
    return loop.time() - began


@in_loop
async def test_a_user_has_the_pace_of_batches_while_others_call() -> None:
    others = Others()
    now = asyncio.get_running_loop().time()
    others.note(BUSY, now)
    others.note(OTHER, now)
    took = await seconds_of(BatchPace(PACE, others), 4)

    assert took >= 3 * ROUND / (TIMES_THE_PACE * PACE)


@in_loop
async def test_nobody_waits_who_calls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_pace, "TURN_SECONDS_MAX", -1.0)  # Whoever waits is refused.
    pace = BatchPace(1, Others())

    assert [await pace.turn([BUSY] * ROUND) for _ in range(10)] == [True] * 10


@in_loop
async def test_a_turn_that_would_come_too_late_is_refused_and_others_have_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_pace, "TURN_SECONDS_MAX", 0.0)
    shards = FakeShards()
    router = Router(shards, SECONDS, user_pace=1)
    await router.calls([ONE])

    refused = await router.calls(MANY)

    assert texts(refused[:ROUND]) == [call.key for call in MANY[:ROUND]]
    assert refused[ROUND:] == [OVERLOADED] * len(MANY[ROUND:])
    assert texts(await router.calls([ONE])) == [ONE.key]


@in_loop
async def test_after_a_round_that_was_lost_nothing_more_is_sent_before_it() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS, user_pace=PACE)
    await router.status(THIRD)
    shards.sent.clear()
    shards.faults = [ShardLostError]

    replies = await router.calls(MANY)

    keys = [call.key for call in MANY]
    assert texts(replies) == keys
    assert [key for sent in shards.keys[1:] for key in sent] == keys
    assert shards.keys[0] == keys[:ROUND]
