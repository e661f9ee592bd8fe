"""The synchronisation: every shard is told of every change, whatever is killed meanwhile."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from actors.protocol.directory import Directory, even
from actors.sync import notifier as sync_notifier
from actors.sync import sync as sync_module
from actors.sync.changes import Position
from actors.sync.sync import Sync
from domain.values import UserId
from tests.builders.tables import TABLE
from tests.fakes.memory_changes import MemoryChanges, NotingShards, owned_by
from tests.fakes.shards import Clock, in_loop, until

ANN, *OTHERS = owned_by(TABLE.owner, 0, 20)
BOB, *_ = owned_by(TABLE.owner, 1, 1)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (sync_module, "BEAT_SECONDS"),
        (sync_module, "RETRY_SECONDS"),
        (sync_module, "DIRECTORY_SECONDS"),
        (sync_notifier, "PAUSE_SECONDS_MIN"),
        (sync_notifier, "PAUSE_SECONDS_MAX"),
    ):
        monkeypatch.setattr(module, name, 0.005)


@contextlib.asynccontextmanager
async def following(
    source: MemoryChanges, shards: NotingShards, tables: list[Directory] | None = None
) -> AsyncIterator[Sync]:
    """Run a synchronisation until it is killed at the end of the block."""
    known = tables or [TABLE]
    sync = Sync(source, shards, lambda: known[-1], clock=Clock(), monotonic=time.monotonic)
    loop = asyncio.create_task(sync.run())
    try:
        yield sync
    finally:
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop


def stored_past(source: MemoryChanges, events: int) -> bool:
    return source.position is not None and int(source.position.token["next"]) >= events


async def settled(source: MemoryChanges) -> None:
    """Wait until all there is now is acknowledged and stored."""
    events = len(source.events)
    await until(lambda: stored_past(source, events))


@in_loop
async def test_a_change_is_told_to_the_shard_that_owns_the_user() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards) as sync:
        await settled(source)

        source.change(ANN)
        source.change(BOB)
        await settled(source)

        assert (shards.users(0), shards.users(1)) == ([ANN], [BOB])
        assert sync.report().events_applied == 2
        assert sync.report().last_event_at == Clock().now


@in_loop
async def test_a_document_that_may_be_anybodys_is_told_to_all_shards() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards):
        await settled(source)
        source.change(document_id="a document")
        await settled(source)

        assert shards.documents(0) == shards.documents(1) == ["a document"]


@in_loop
async def test_the_first_start_forgets_everything_and_counts_no_resync() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards) as sync:
        await settled(source)

        assert (shards.forgot_all(0), shards.forgot_all(1)) == (1, 1)
        assert source.opened == [None]
        assert (sync.report().resyncs, sync.report().resumes) == (0, 0)


@in_loop
async def test_shards_hear_how_old_their_news_are_though_nothing_changes() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards) as sync:
        await until(lambda: len(shards.ages(0)) > 3 and len(shards.ages(1)) > 3)

        assert all(0 <= age < 5 for age in shards.ages(0))
        assert sync.report().lag_seconds < 5
        assert shards.told[0][-1].stamp is not None


@in_loop
async def test_what_a_shard_that_is_down_has_not_acknowledged_is_not_passed() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards):
        await settled(source)
        shards.down = {0}
        before = len(source.events)

        source.change(ANN)
        source.change(BOB)
        await until(lambda: shards.users(1) == [BOB])
        ages = len(shards.ages(1))
        await until(lambda: len(shards.ages(1)) > ages + 3)

        assert not stored_past(source, before + 2)
        shards.down = set()
        await settled(source)
        assert shards.users(0) == [ANN]


@in_loop
async def test_a_killed_synchronisation_goes_on_where_all_shards_had_acknowledged() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards):
        await settled(source)
        shards.down = {0}
        source.change(ANN)
        await until(lambda: shards.attempts > 20)
    shards.down = set()
    source.change(OTHERS[0])

    async with following(source, shards) as sync:
        await settled(source)

        assert shards.users(0) == [ANN, OTHERS[0]]
        assert (shards.forgot_all(0), sync.report().resumes) == (1, 1)


@in_loop
async def test_a_database_that_was_away_costs_a_resume_and_no_change() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards) as sync:
        await settled(source)
        source.unavailable = True
        source.change(ANN)
        await until(lambda: not stored_past(source, len(source.events)))
        await until(lambda: source.refusals)
        source.unavailable = False
        await settled(source)

        assert shards.users(0) == [ANN]
        assert sync.report().resumes >= 1
        assert sync.report().resyncs == 0


@in_loop
async def test_lost_history_makes_every_shard_forget_everything_once() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards) as sync:
        await settled(source)

        source.forget_history()
        await until(lambda: shards.forgot_all(0) == 2)
        source.change(ANN)
        await settled(source)

        assert (shards.forgot_all(0), shards.forgot_all(1)) == (2, 2)
        assert sync.report().resyncs == 1
        assert shards.users(0) == [ANN]


@in_loop
async def test_a_missing_beat_shows_that_the_stream_left_something_out() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards) as sync:
        await settled(source)

        source.lose_events(ANN)
        await until(lambda: shards.forgot_all(1) == 2)
        await settled(source)

        assert sync.report().resyncs == 1
        assert shards.forgot_all(0) == 2


@in_loop
async def test_a_beat_that_is_missing_before_the_first_one_is_noticed_too() -> None:
    class Losing(MemoryChanges):
        def newest_beat(self) -> int:
            newest = super().newest_beat()
            if len(self.opened) == 1:
                self.lose_events(ANN)
            return newest

    source, shards = Losing(), NotingShards()
    async with following(source, shards) as sync:
        await until(lambda: sync.report().resyncs == 1 and shards.forgot_all(0) == 2)
        await settled(source)

        assert len(source.opened) == 2


@in_loop
async def test_a_missing_beat_is_noticed_over_a_restart_too() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards):
        await settled(source)
    source.lose_events(ANN)

    async with following(source, shards) as sync:
        await until(lambda: shards.forgot_all(0) == 2)

        assert sync.report().resyncs == 1


@in_loop
async def test_a_stored_position_that_is_not_usable_costs_one_resync() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards):
        await settled(source)
    source.forget_history()

    async with following(source, shards) as sync:
        await settled(source)

        assert sync.report().resyncs == 1
        assert shards.forgot_all(0) == 2
        assert source.opened[-1] is None


@in_loop
async def test_a_document_that_cannot_be_read_is_counted_and_stops_nothing() -> None:
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards) as sync:
        await settled(source)
        source.change(unreadable="subscriptions 7: its user_id is a float")
        source.change(ANN)
        await settled(source)

        assert sync.report().quarantined == 1
        assert shards.users(0) == [ANN]


@in_loop
async def test_a_newer_directory_is_followed_and_its_owners_told() -> None:
    source, shards, tables = MemoryChanges(), NotingShards(), [TABLE]
    async with following(source, shards, tables):
        await settled(source)
        newer = Directory(2, tuple(1 - owner for owner in TABLE.owners))
        shards.version = 2
        source.change(ANN)
        await until(lambda: shards.attempts > 20)
        tables.append(newer)
        await settled(source)

        assert ANN in shards.users(1)


@in_loop
async def test_a_shard_that_was_ended_is_not_waited_for_and_one_that_is_new_is_told() -> None:
    source, shards, tables = MemoryChanges(), NotingShards(), [TABLE]
    async with following(source, shards, tables):
        await settled(source)
        shards.down, shards.version = {1}, 2
        tables.append(even(2, 1))
        source.change(BOB)
        await settled(source)
        assert BOB in shards.users(0)
        asked = shards.attempts
        shards.down = set()
        await settled(source)
        assert shards.attempts - asked < 20
        shards.version = 3
        tables.append(even(3, 2))
        source.change(BOB)
        await settled(source)

        assert BOB in shards.users(TABLE.owner(UserId(BOB)))


@in_loop
async def test_a_shard_that_is_new_forgets_what_it_may_have_read_before_it_was_told_of_anything() -> (
    None
):
    source, shards, tables = MemoryChanges(), NotingShards(), [even(1, 1)]
    async with following(source, shards, tables):
        await settled(source)
        shards.version = 2
        source.change(ANN)
        await until(lambda: shards.attempts > 20)
        tables.append(even(2, 3))
        await settled(source)

        assert [shards.forgot_all(index) for index in range(3)] == [1, 1, 1]


@in_loop
async def test_more_news_than_a_notifier_holds_become_forget_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sync_notifier, "NAMES_WAITING_MAX", 10)
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards):
        await settled(source)
        shards.down = {0}
        for user in OTHERS:
            source.change(user)
        source.change(BOB)
        await until(lambda: shards.users(1) == [BOB])
        shards.down = set()
        await settled(source)

        assert shards.forgot_all(0) == 2
        assert shards.forgot_all(1) == 1


@in_loop
async def test_many_names_travel_in_parts_and_only_the_last_tells_the_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sync_notifier, "NAMES_PER_MESSAGE_MAX", 5)
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards):
        await settled(source)
        shards.down = {0}
        for user in OTHERS:
            source.change(user)
        await until(lambda: shards.attempts > 30)
        shards.told.clear()
        shards.down = set()
        await settled(source)

        parts = [told for told in shards.told[0] if told.users]
        assert sorted(shards.users(0)) == sorted(OTHERS)
        assert all(len(part.users) <= 5 for part in parts)
        assert [part.age_seconds for part in parts[:-1]] == [None] * (len(parts) - 1)


@in_loop
async def test_a_silent_stream_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "SILENCE_SECONDS_MAX", 0.03)
    monkeypatch.setattr(sync_module, "BEAT_SECONDS", 0.2)
    source, shards = MemoryChanges(), NotingShards()
    async with following(source, shards) as sync:
        await until(lambda: sync.report().resumes >= 2)

        assert isinstance(source.opened[-1], Position)
        assert sync.report().resyncs == 0
