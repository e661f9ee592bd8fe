"""Thresholds of low credits that change while shards run: every shard takes them, and a new one has them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from itertools import count

import pytest

from actors.protocol.directory import even
from actors.runtime import service_settings
from actors.runtime.service_settings import ServiceSettings, SettingsChange, follow_settings
from actors.shard.comparison import Comparison
from actors.shard.shard import Shard
from domain.events import EventType
from domain.values import Policy, UserId
from tests.fakes.memory_settings import MemorySettings
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import ask_one, charge_call, credit_call, in_loop, running, status, until

WHOLE = Policy(system_portion_bps=0)
USERS = [UserId(f"user-{number}") for number in range(8)]
THREE = ServiceSettings(low_credits_percents=(20, 10, 5))
ENVIRONMENT = ServiceSettings()
NUMBERS = count()  # Of keys: none is used twice.


def told(store: MemoryStore, user_id: str) -> list[int]:
    """Return the percents of which the journal's entries tell, in order."""
    entries = sorted(
        (entry for entry in store.journal.values() if entry.user_id == user_id),
        key=lambda entry: entry.seq,
    )
    events = [event for entry in entries for event in entry.events]
    low = [json.loads(event.data) for event in events if event.type is EventType.LOW_CREDITS]
    return [data["low_credits_percent"] for data in low]


async def charge(shard: Shard, user_id: str, *amounts: int) -> None:
    for amount in amounts:
        await ask_one(shard, charge_call(user_id, amount, f"key {next(NUMBERS)}"))


@in_loop
async def test_thresholds_count_from_the_next_charge_on_and_in_every_status_at_once() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask_one(shard, credit_call("ann", 100))
        await charge(shard, "ann", 60)
        before = (await status(shard, "ann")).low_credits
        shard.take(ServiceSettings(low_credits_percents=(50, 30)))
        after = (await status(shard, "ann")).low_credits
        await charge(shard, "ann", 1, 10, 1)
        shard.take(ENVIRONMENT)
        back = (await status(shard, "ann")).low_credits

    assert (before, after, back) == (False, True, False)
    assert told(store, "ann") == [50, 30]


@in_loop
async def test_settings_that_are_the_same_again_leave_what_a_shard_goes_by() -> None:
    async with running(MemoryStore(), policy=WHOLE) as shard:
        shard.take(ENVIRONMENT)
        first = shard.policy
        shard.take(THREE)
        three = shard.policy
        shard.take(ServiceSettings(("https://app.example",), (20, 10, 5)))

        assert first is WHOLE
        assert shard.policy is three


@in_loop
async def test_what_was_told_outlives_a_restart_whatever_is_in_force_then() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE, views=False) as shard:
        shard.take(THREE)
        await ask_one(shard, credit_call("ann", 100))
        await charge(shard, "ann", 91)  # No view contains it.
    for settings, amounts in ((ENVIRONMENT, (1,)), (THREE, (1, 2))):
        async with running(store, policy=WHOLE) as shard:
            shard.take(settings)
            await charge(shard, "ann", *amounts)
            await shard.settle()
            found = await Comparison(shard, store).compare(repair=False)
            assert (found.checked, found.stale) == (1, 0)

    assert told(store, "ann") == [10, 5]


@in_loop
async def test_every_shard_follows_what_is_kept_and_a_new_one_has_it_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_settings, "LOOK_SECONDS", 0.001)
    table, kept, store = even(1, 2), MemorySettings(), MemoryStore()
    assert {table.owner(user) for user in USERS} == {0, 1}

    async with following(store, kept) as shards:
        for user in USERS:
            await ask_one(shards[table.owner(user)], credit_call(user, 100, key=f"of {user}"))
        kept.keep(SettingsChange(low_credits_percents=(20, 10, 5)))
        await until(lambda: all(s.policy.low_credits_percents for s in shards))
        for user in USERS:
            await charge(shards[table.owner(user)], user, 81, 10)
    async with following(store, kept) as shards:
        for user in USERS:
            await charge(shards[table.owner(user)], user, 5)

    assert [told(store, user) for user in USERS] == [[20, 10, 5]] * len(USERS)


@contextlib.asynccontextmanager
async def following(store: MemoryStore, kept: MemorySettings) -> AsyncIterator[list[Shard]]:
    """Run two shards that follow settings, as their actors have them do."""
    async with (
        running(store, policy=WHOLE, index=0, shards=2) as first,
        running(store, policy=WHOLE, index=1, shards=2) as second,
    ):
        both = [first, second]
        for shard in both:
            shard.take(kept.read())
        loops = [asyncio.create_task(follow_settings(kept, shard.take)) for shard in both]
        try:
            yield both
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.wait(loops)
