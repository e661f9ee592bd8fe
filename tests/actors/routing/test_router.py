"""Every call reaches the shard that owns its user: gathered, followed, repeated, in time."""

import asyncio
from itertools import chain
from typing import Any

import pytest

from actors.protocol.calls import Envelope, Reply
from actors.protocol.directory import even, slot_of
from actors.protocol.errors import ShardLostError
from actors.protocol.queries import SubscriptionsQuery
from actors.routing import lane as lane_module
from actors.routing import queue as queue_module
from actors.routing.lane import GATHER_SECONDS
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
async def test_concurrent_calls_for_one_shard_travel_together() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)

    replies = await asyncio.gather(*(router.call(call) for call in CALLS))

    assert texts(replies) == [call.key for call in CALLS]
    assert shards.keys == [[call.key for call in CALLS]]
    assert shards.directories_read == 1


@in_loop
async def test_the_next_message_leaves_once_it_is_as_long_as_the_one_on_its_way() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.sent.clear()
    shards.gate.clear()
    waiting: list[asyncio.Future[Any]] = []

    async def lengths_after(more: int) -> list[int]:
        begun = len(waiting)
        calls = CALLS[begun : begun + more]
        waiting.extend(asyncio.create_task(router.call(call)) for call in calls)
        await asyncio.sleep(2 * GATHER_SECONDS)  # As long as a message gathers, and as long again.
        return [len(keys) for keys in shards.keys]

    assert await lengths_after(8) == [8]
    assert await lengths_after(7) == [8]
    assert await lengths_after(1) == [8, 8]
    assert await lengths_after(20) == [8, 8]

    shards.gate.set()
    replies = await asyncio.gather(*waiting)

    assert texts(replies) == [call.key for call in CALLS[:36]]
    assert shards.keys[2:] == [[call.key for call in CALLS[16:36]]]


class ReadingShards(FakeShards):
    """Shards that have one user in RAM, and read all others for as long as the test says."""

    def __init__(self, in_ram: UserId) -> None:
        super().__init__()
        self.in_ram = in_ram
        self.has_read = asyncio.Event()

    async def send(self, index: int, envelope: Envelope) -> list[Reply]:
        calls = (call.command.user_id for call in envelope.calls)
        if {*calls, *envelope.status_of} != {self.in_ram}:
            await self.has_read.wait()
        return await super().send(index, envelope)


@in_loop
async def test_who_was_answered_lately_does_not_travel_with_those_whom_a_shard_may_have_to_read() -> (
    None
):
    shards = ReadingShards(USERS[0])
    router = Router(shards, SECONDS)
    await router.status(USERS[0])
    others = []
    for user_id in USERS[1:6]:
        others.append(asyncio.create_task(router.status(user_id)))
        await asyncio.sleep(2 * GATHER_SECONDS)
    known = await router.status(USERS[0])
    reading = [other.done() for other in others]
    shards.has_read.set()

    assert texts([known]) == [USERS[0]]
    assert not any(reading)
    assert texts(await asyncio.gather(*others)) == USERS[1:6]


@in_loop
async def test_so_many_users_are_known_to_have_been_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.routing.router.KNOWN_MAX", 3)
    router = Router(FakeShards(), SECONDS)
    for user_id in USERS[:10]:
        await router.status(user_id)

    assert list(router._known) == USERS[7:10]


@in_loop
async def test_callers_that_come_one_by_one_are_all_answered_in_order() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.sent.clear()
    waiting: list[asyncio.Future[Any]] = []
    for call in CALLS:
        waiting.append(asyncio.create_task(router.call(call)))
        await asyncio.sleep(0)

    replies = await asyncio.gather(*waiting)

    assert texts(replies) == [call.key for call in CALLS]
    assert list(chain(*shards.keys)) == [call.key for call in CALLS]


@in_loop
async def test_a_caller_that_goes_on_at_once_is_answered_again() -> None:
    router = Router(FakeShards(), SECONDS)

    replies = [await router.call(call) for call in CALLS]

    assert texts(replies) == [call.key for call in CALLS]


@in_loop
async def test_a_message_is_no_longer_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "ENVELOPE_LENGTH_MAX", 16)
    shards = FakeShards()
    router = Router(shards, SECONDS)

    await asyncio.gather(*(router.call(call) for call in CALLS))

    assert [len(keys) for keys in shards.keys] == [16, 16, 8]


@in_loop
async def test_a_user_with_many_calls_has_a_share_of_each_message_and_keeps_their_order() -> None:
    share = queue_module.ENVELOPE_OF_ONE_USER_MAX
    shards = FakeShards()
    router = Router(shards, SECONDS)
    many = [charge_call(USERS[0], 1, f"key {number}") for number in range(2 * share + 1)]

    replies = await asyncio.gather(*(router.call(call) for call in (*many, CALLS[1])))

    keys = [call.key for call in many]
    assert texts(replies) == [*keys, CALLS[1].key]
    assert shards.keys == [
        [*keys[:share], CALLS[1].key],
        keys[share : 2 * share],
        keys[2 * share :],
    ]


@in_loop
async def test_a_user_of_whom_most_calls_are_is_held_back_and_answered_in_the_end() -> None:
    share = queue_module.ENVELOPE_OF_ONE_USER_MAX
    shards = FakeShards()
    paced = 2
    router = Router(shards, SECONDS, user_pace=paced * queue_module.CALLS_FOR_EACH_PACED)
    await router.status(STRANGER)
    shards.sent.clear()
    many = [charge_call(USERS[0], 1, f"key {number}") for number in range(3 * share)]

    began = asyncio.get_running_loop().time()
    replies = await asyncio.gather(*(router.call(call) for call in (*many, CALLS[1])))

    keys = [call.key for call in many]
    assert texts(replies) == [*keys, CALLS[1].key]
    rest = [keys[n : n + paced] for n in range(paced, 2 * share, paced)]
    assert shards.keys == [[*keys[:paced], CALLS[1].key], *rest, keys[2 * share :]]
    pause = 1 / queue_module.CALLS_FOR_EACH_PACED
    assert asyncio.get_running_loop().time() - began >= pause * len(rest)


@in_loop
async def test_nobody_waits_for_the_message_of_a_user_who_is_held_back() -> None:
    share = queue_module.ENVELOPE_OF_ONE_USER_MAX
    shards = FakeShards()
    router = Router(shards, SECONDS, user_pace=1)
    await router.status(STRANGER)
    for _ in range(2):  # Then they are known, and others have called.
        await asyncio.gather(*map(router.call, CALLS[:2]))
    shards.sent.clear()
    shards.gate.clear()
    many = [charge_call(USERS[0], 1, f"key {number}") for number in range(3 * share)]
    waiting = [asyncio.create_task(router.call(call)) for call in many]
    await until(lambda: len(shards.sent) == 1)

    waiting.append(asyncio.create_task(router.call(CALLS[1])))
    await until(lambda: len(shards.sent) == 2)

    assert shards.keys[1] == [CALLS[1].key]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@in_loop
async def test_a_message_is_filled_from_many_users_with_many_calls_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_module, "ENVELOPE_LENGTH_MAX", 6)
    monkeypatch.setattr(queue_module, "ENVELOPE_OF_ONE_USER_MAX", 4)
    shards = FakeShards()
    router = Router(shards, SECONDS)
    calls = [charge_call(user, 1, f"{user} {n}") for user in USERS[:3] for n in range(5)]

    replies = await asyncio.gather(*(router.call(call) for call in calls))

    first, second, third = ([f"{user} {n}" for n in range(5)] for user in USERS[:3])
    assert texts(replies) == [call.key for call in calls]
    assert shards.keys == [
        [*first[:4], *second[:2]],
        [*third[:4], *first[4:], *second[2:3]],
        [*third[4:], *second[3:]],
    ]


@in_loop
async def test_calls_and_reads_go_to_the_owners_of_their_users() -> None:
    shards = FakeShards(4)
    router = Router(shards, SECONDS)

    await asyncio.gather(*map(router.call, CALLS), *map(router.status, USERS))

    for index, envelope in shards.sent:
        users = [*envelope.status_of, *(call.command.user_id for call in envelope.calls)]
        assert {shards.table.owner(user_id) for user_id in users} == {index}
    assert len(shards.sent) == 8


@pytest.mark.parametrize("shards_lost", [1, 3])
@in_loop
async def test_replies_to_many_come_in_order_though_shards_are_lost(shards_lost: int) -> None:
    shards = FakeShards(4)
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.faults = [ShardLostError] * shards_lost

    assert texts(await router.calls(CALLS)) == [call.key for call in CALLS]
    assert texts(await router.statuses(USERS)) == list(USERS)


@in_loop
async def test_many_are_sent_in_one_message_a_shard() -> None:
    shards = FakeShards(4)
    router = Router(shards, SECONDS)

    await router.statuses(USERS)

    assert len(shards.sent) == 4


@in_loop
async def test_nothing_is_sent_for_nobody() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)

    assert await router.calls([]) == []
    assert shards.sent == []


# --- a shard that is lost -----------------------------------------------------------------


@in_loop
async def test_a_call_lost_with_its_shard_is_sent_again_as_a_repeat() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)
    call = charge_call(USERS[0], 1, "auto", keep_refusal=False)
    await router.status(STRANGER)
    shards.sent.clear()
    shards.faults = [ShardLostError, ShardLostError]

    reply = await router.call(call)

    assert texts([reply]) == ["auto"]
    sent = [envelope.calls for _, envelope in shards.sent]
    again = call._replace(keep_refusal=True)
    assert sent == [(call,), (again,), (again,)]


@in_loop
async def test_a_shard_that_does_not_answer_counts_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "ENVELOPE_SECONDS_MAX", 0.01)
    shards = FakeShards()
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.gate.clear()

    waiting = asyncio.create_task(router.call(CALLS[0]))
    await until(lambda: len(shards.sent) == 3)
    shards.gate.set()

    assert texts([await waiting]) == [CALLS[0].key]


@in_loop
async def test_a_query_lost_with_its_shard_is_asked_again() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.faults = [ShardLostError]

    assert texts([await router.query(SubscriptionsQuery(USERS[3]))]) == [USERS[3]]


@in_loop
async def test_a_query_with_a_foreign_cursor_is_told_so() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.faults = [ValueError]

    with pytest.raises(ValueError, match="asked for"):
        await router.query(SubscriptionsQuery(USERS[3]))


# --- a newer directory --------------------------------------------------------------------


@in_loop
async def test_a_newer_directory_is_read_once_for_many_callers_and_followed() -> None:
    shards = FakeShards(1)
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.table = even(2, 4)
    shards.sent.clear()

    replies = await asyncio.gather(*map(router.call, CALLS), *map(router.status, USERS))

    assert texts(replies) == [call.key for call in CALLS] + list(USERS)
    assert shards.directories_read == 2
    followed = [(index, e) for index, e in shards.sent if e.version == 2]
    assert {index for index, _ in followed} == {0, 1, 2, 3}


@in_loop
async def test_a_call_that_has_moved_is_no_repeat() -> None:
    shards = FakeShards()
    router = Router(shards, SECONDS)
    call = charge_call(USERS[0], 1, "auto", keep_refusal=False)
    await router.status(STRANGER)
    shards.table = even(2, 2)
    shards.sent.clear()

    await router.call(call)

    assert [envelope.calls for _, envelope in shards.sent] == [(call,), (call,)]


@in_loop
async def test_many_follow_a_newer_directory_in_order() -> None:
    shards = FakeShards(3)
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.table = even(2, 4)

    assert texts(await router.calls(CALLS)) == [call.key for call in CALLS]


@in_loop
async def test_a_query_follows_a_newer_directory() -> None:
    shards = FakeShards(1)
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    shards.table = even(2, 4)

    await router.query(SubscriptionsQuery(USERS[3]))

    assert shards.sent[-1][0] == shards.table.owner(USERS[3])


@in_loop
async def test_a_shard_that_was_ended_is_looked_for_in_the_directory() -> None:
    shards = FakeShards(2)
    router = Router(shards, SECONDS)
    user = next(u for u in USERS if shards.table.owner(u) == 1)
    await router.status(user)
    shards.table = even(2, 1)
    shards.ended = {1}

    assert texts([await router.status(user)]) == [user]


@in_loop
async def test_while_a_slot_is_on_its_way_its_callers_wait_and_the_others_read_no_directory() -> (
    None
):
    shards = FakeShards(2)
    router = Router(shards, SECONDS)
    await router.status(STRANGER)
    newer = shards.table.towards(1, 4096)
    assert newer is not None
    shards.table = newer
    stays, leaves = (
        next(u for u in USERS if (slot_of(u) in newer.leaving) is b) for b in (False, True)
    )
    await router.status(stays)

    waiting = asyncio.create_task(router.status(leaves))
    await until(lambda: shards.directories_read >= 4)
    before, read = len(shards.sent), shards.directories_read
    assert texts([await router.status(stays)]) == [stays]
    assert len(shards.sent) - before <= 2
    assert shards.directories_read - read <= 1
    assert not waiting.done()
    arrived = newer.towards(1, 4096)
    assert arrived is not None
    shards.table = arrived

    assert texts([await waiting]) == [leaves]
