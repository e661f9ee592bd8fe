"""Every account is compared once in a round, what has come or changed before the others."""

import contextlib
from collections.abc import Sequence

import pytest

from actors.protocol.store import StorageUnavailableError
from actors.shard import comparison_round
from actors.shard.comparison_round import CHANGED_MAX, PART_MIN, ComparisonRound
from domain.values import UserId
from tests.builders.authors import Author, write
from tests.fakes.comparison import compare, corrupt
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import Clock, ask, charge_call, in_loop, running
from tests.fakes.shards import status as status_of

USERS = [UserId(f"user-{n}") for n in range(12 * PART_MIN + 24_000)]


def next_part(going: ComparisonRound, users: Sequence[UserId] = USERS) -> Sequence[UserId]:
    with going.part(lambda: list(users)) as part:
        return part


def fail(going: ComparisonRound, changed: UserId) -> Sequence[UserId]:
    with contextlib.suppress(StorageUnavailableError), going.part(lambda: list(USERS)) as part:
        going.note(changed)
        raise StorageUnavailableError
    return part


def test_comparisons_of_an_hour_look_at_all_accounts_and_each_at_as_many() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    parts = []
    for _ in range(12):
        clock.advance(minutes=5)
        parts.append(next_part(going))

    assert [len(part) for part in parts] == [len(USERS) // 12] * 12
    assert [user for part in parts for user in part] == USERS


def test_the_next_round_begins_where_one_has_ended() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    clock.advance(hours=1)
    whole = next_part(going)
    clock.advance(minutes=5)
    again = next_part(going)

    assert whole == USERS
    assert again == USERS[: len(USERS) // 12]


def test_accounts_of_a_warm_start_join_the_round_that_goes_on() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    parts = []
    for minute in range(0, 60, 5):
        clock.advance(minutes=5)
        parts.append(next_part(going, USERS[:24_000]))
        for user_id in USERS[24_000:] if minute == 0 else ():
            going.join(user_id)

    assert [user for part in parts for user in part] == USERS
    assert max(map(len, parts)) <= len(USERS) // 12 + PART_MIN


def test_an_account_that_came_or_changed_is_compared_next_and_first() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    clock.advance(minutes=5)
    next_part(going)
    going.note(USERS[-1])
    going.note(USERS[-2])
    going.note(USERS[-1])
    clock.advance(minutes=5)
    part = next_part(going)
    clock.advance(minutes=5)
    after = next_part(going)

    assert part[:2] == [USERS[-1], USERS[-2]]
    assert len(part) == 2 + len(USERS) // 12
    assert USERS[-1] not in after


def test_few_accounts_are_all_compared_each_time() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    clock.advance(seconds=1)

    assert next_part(going, USERS[:PART_MIN]) == USERS[:PART_MIN]
    assert next_part(going, USERS[:PART_MIN]) == USERS[:PART_MIN]


def test_where_a_comparison_fails_the_same_accounts_are_next_and_those_changed_meanwhile() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    going.note(USERS[-1])
    clock.advance(minutes=5)
    failed = fail(going, changed=USERS[-2])
    again = next_part(going)

    assert again == [USERS[-1], USERS[-2], *failed[1:]]


def test_more_changes_than_are_remembered_wait_for_their_turn() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    for user_id in reversed(USERS):
        going.note(user_id)
    clock.advance(minutes=5)

    assert len(next_part(going)) == CHANGED_MAX + len(USERS) // 12


def test_accounts_that_join_amid_the_last_comparison_of_a_round_are_in_the_next_one() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    clock.advance(minutes=5)
    next_part(going, USERS[:50_000])
    clock.advance(minutes=56)
    with going.part(lambda: USERS[:50_000]) as last:
        for user_id in USERS[50_000:]:
            going.join(user_id)
    clock.advance(minutes=5)

    assert last[-1] == USERS[49_999]
    assert next_part(going) == USERS[: len(USERS) // 12]


def test_two_comparisons_at_once_share_the_round() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    clock.advance(minutes=5)
    with going.part(lambda: list(USERS)) as one:
        clock.advance(minutes=1)
        other = next_part(going)

    assert not set(one) & set(other)
    assert next_part(going)[0] == USERS[len(one) + len(other)]


def test_comparisons_that_fail_remember_no_more_changes_than_ever() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    for number in range(3):
        for user_id in USERS[number * CHANGED_MAX : (number + 1) * CHANGED_MAX]:
            going.note(user_id)
        fail(going, changed=USERS[-1])
    few = next_part(going, USERS[:1])

    assert len(few) <= CHANGED_MAX + PART_MIN


def test_a_user_who_is_let_go_is_not_remembered() -> None:
    clock = Clock()
    going = ComparisonRound(clock)
    fail(going, changed=USERS[0])
    going.let_go(USERS[0])

    assert USERS[0] not in next_part(going)


@in_loop
async def test_a_shard_compares_what_has_changed_and_within_an_hour_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparison_round, "PART_MIN", 1)
    store, clock = MemoryStore(), Clock()
    users = USERS[:24]
    write(store, [Author(user_id).add() for user_id in users])
    async with running(store, clock=clock) as shard:
        for user_id in users:
            await status_of(shard, user_id)
        come = await compare(shard, store, whole=False)
        corrupt(shard, users[5])
        await ask(shard, charge_call(users[9], 5, "charge"))
        await shard.settle()
        clock.advance(minutes=5)
        changed = await compare(shard, store, whole=False)
        found = []
        for _ in range(11):
            clock.advance(minutes=5)
            found += (await compare(shard, store, whole=False)).users

    assert come.checked == len(users)
    assert changed.checked == 1 + len(users) // 12
    assert found == [users[5]]
