"""Views follow the journal once each, whoever else writes them and however often that fails."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from actors.protocol.calls import Outcome, Reply
from actors.protocol.store import StorageUnavailableError
from actors.shard.hand_over import finish
from domain.documents.views import AccountViews
from domain.messages import Entry
from domain.values import Policy, UserId
from tests.builders.authors import views_of
from tests.fakes.memory_store import MemoryStore, ViewsFault
from tests.fakes.shards import (
    ask,
    ask_one,
    charge_call,
    credit_call,
    in_loop,
    running,
    until,
)
from tests.patience import PATIENCE_SECONDS

ANN, BOB, CAT = UserId("ann"), UserId("bob"), UserId("cat")
SEEN_SECONDS = 0.1  # How long a flush is seen to wait.
WHOLE = Policy(system_portion_bps=0)
"""All credits are spendable."""


def used(store: MemoryStore, user_id: UserId) -> int:
    """Return what the day documents say was used."""
    days = store.collections["dailycredits"].values()
    return sum(day["credits_used"] for day in days if day["user_id"] == user_id)


@pytest.mark.parametrize("fault", ["lost", "landed"])
@in_loop
async def test_views_that_failed_are_written_once(
    monkeypatch: pytest.MonkeyPatch, fault: ViewsFault
) -> None:
    monkeypatch.setattr("actors.shard.view_writer.RETRY_SECONDS", 0.0)
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        store.fail_views(fault)

        await ask(shard, credit_call(ANN, 200), charge_call(ANN, 50, "a"))
        await shard.settle()

        assert used(store, ANN) == 50
        assert len(store.collections["usages"]) == 1
        assert shard.counters.lagging_entries == 0


@in_loop
async def test_after_a_flush_the_database_is_the_journals_whoever_waits_for_views(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200), charge_call(ANN, 50, "a"))
        monkeypatch.setattr("actors.shard.view_writer.RESTS", 1e9)
        monkeypatch.setattr("actors.shard.view_writer.REST_SECONDS_MAX", 3600.0)
        await shard.settle()
        await ask_one(shard, charge_call(ANN, 5, "b"))
        settling = asyncio.create_task(shard.settle())
        await asyncio.wait([settling], timeout=SEEN_SECONDS)

        assert used(store, ANN) == 50
        settling.cancel()


@in_loop
async def test_a_shard_that_leaves_writes_what_it_has_in_hand_without_a_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.shard.view_writer.SUBSCRIPTION_REST_SECONDS", 3600.0)
    monkeypatch.setattr("actors.shard.view_writer.FLUSH_PAUSE_SECONDS", 0.0)
    store = MemoryStore()
    refused: list[int] = []
    late: list[asyncio.Future[Reply]] = []
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200), charge_call(ANN, 50, "a"))
        await shard.settle()
        monkeypatch.setattr("actors.shard.view_writer.RESTS", 1e9)
        monkeypatch.setattr("actors.shard.view_writer.REST_SECONDS_MAX", 3600.0)
        await ask(shard, charge_call(ANN, 7, "b"), credit_call(ANN, 9, key="more"))
        await asyncio.sleep(SEEN_SECONDS)
        assert used(store, ANN) == 50  # It rests.

        def refuse() -> None:
            refused.append(used(store, ANN))
            late.append(asyncio.ensure_future(ask_one(shard, charge_call(ANN, 5, "late"))))

        await asyncio.wait_for(finish(shard, refuse), PATIENCE_SECONDS)

        assert refused == [57]
        assert (await late[0]).outcome is Outcome.DONE
        assert totals(store)[ANN] == 209
        await ask_one(shard, charge_call(ANN, 2, "after"))
        await asyncio.sleep(SEEN_SECONDS)
        assert used(store, ANN) < 64  # It rests again.


@in_loop
async def test_where_much_lags_flushes_follow_each_other_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.shard.view_writer.FLUSH_PAUSE_SECONDS", 3600.0)
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        shard.views._accounts_max = 2
        monkeypatch.setattr("actors.shard.view_writer.ACCOUNTS_PER_FLUSH_MAX", 2)

        await ask(shard, *(credit_call(UserId(f"u-{number}"), 9) for number in range(14)))

        # Of 14 two are written at a time, until fewer than four times two are left.
        await until(lambda: shard.counters.lagging_entries == 6)
        assert len(store.collections["subscriptions"]) == 8


@in_loop
async def test_a_subscription_that_was_written_rests_and_the_others_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.shard.view_writer.SUBSCRIPTION_REST_SECONDS", 3600.0)
    store = MemoryStore()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200), credit_call(BOB, 9))
        await shard.settle()
        await ask(shard, credit_call(ANN, 300, key="more"), credit_call(CAT, 7))

        await until(lambda: totals(store)[CAT] == 7)
        resting = totals(store)[ANN]
        await shard.settle(ANN)

        assert resting == 200
        assert totals(store) == {ANN: 500, BOB: 9, CAT: 7}


@in_loop
async def test_many_that_rest_leave_the_loop_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.shard.view_writer.SUBSCRIPTION_REST_SECONDS", 3600.0)
    monkeypatch.setattr("actors.shard.view_writer.ACCOUNTS_PER_FLUSH_MAX", 1)
    monkeypatch.setattr("actors.shard.view_writer.FLUSH_PAUSE_SECONDS", 0.001)
    store = MemoryStore()
    users = [UserId(f"u-{number}") for number in range(20)]
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, *(credit_call(user, 9) for user in users))
        await until(lambda: shard.counters.lagging_entries == 0)
        await ask(shard, *(credit_call(user, 9, key="more") for user in users))
        charged = [await ask_one(shard, charge_call(users[0], 0, f"{n}")) for n in range(100)]

        assert {reply.outcome for reply in charged} == {Outcome.DONE}


def totals(store: MemoryStore) -> Counter[str]:
    """Return the credits of each user's subscription document."""
    found = store.collections["subscriptions"].values()
    return Counter({document["user_id"]: document["total_credits"] for document in found})


@in_loop
async def test_views_written_by_another_writer_are_followed() -> None:
    store = MemoryStore()
    async with running(store, policy=WHOLE, views=False) as shard:
        await ask(shard, credit_call(ANN, 200), charge_call(ANN, 50, "a"), credit_call(BOB, 9))
        store.write_views(views_of(*_entries(store, ANN)[:1]))

        for _ in range(2):
            await shard.views.flush()

        assert ANN not in shard.views
        assert used(store, ANN) == 50
        assert len(store.collections["subscriptions"]) == 2
        assert shard.counters.lagging_entries == 0


@in_loop
async def test_two_shards_writing_the_views_of_one_user_end_with_the_right_ones() -> None:
    store = MemoryStore()
    async with (
        running(store, policy=WHOLE) as one,
        running(store, policy=WHOLE, index=0) as two,
    ):
        await ask_one(one, credit_call(ANN, 1000))
        for number in range(20):
            await ask_one((one, two)[number % 2], charge_call(ANN, number, f"k-{number}"))
        await one.settle()
        await two.settle()

        assert used(store, ANN) == sum(range(20))
        assert len(store.collections["usages"]) == 20
        for shard in (one, two):
            assert shard.counters.lagging_entries == 0


@in_loop
async def test_an_account_whose_entries_have_a_gap_is_forgotten_and_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.shard.view_writer.SUBSCRIPTION_REST_SECONDS", 0.0)
    store = MemoryStore()
    async with running(store, policy=WHOLE, views=False) as shard:
        await ask(shard, credit_call(ANN, 200), charge_call(ANN, 50, "a"))
        await shard.views.flush()
        await ask(shard, charge_call(ANN, 1, "b"))
        store._marks[ANN] = 1  # A backup was restored, say.

        await shard.views.flush()

        assert ANN not in shard.views
        assert ANN not in shard.accounts


def _entries(store: MemoryStore, user_id: UserId) -> Sequence[Entry]:
    return [entry for entry in store.journal.values() if entry.user_id == user_id]


@in_loop
async def test_views_that_fail_together_are_written_in_smaller_transactions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.shard.view_writer.RETRY_SECONDS", 0.0)
    store = Conflicting()
    users = [UserId(f"user-{number}") for number in range(50)]
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, *(credit_call(user, 200) for user in users))
        await shard.settle()

        assert len(store.collections["subscriptions"]) == len(users)


class Conflicting(MemoryStore):
    """Refuses long transactions, as where each would meet another program's write."""

    def write_views(self, views: Sequence[AccountViews]) -> None:
        if len(views) > 3:
            raise StorageUnavailableError from ConnectionError("a conflict")
        super().write_views(views)


@in_loop
async def test_an_account_whose_document_a_transaction_holds_keeps_nobody_else_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.shard.view_writer.RETRY_SECONDS", 0.0)
    store = Held()
    async with running(store, policy=WHOLE) as shard:
        await ask(shard, credit_call(ANN, 200), credit_call(BOB, 200), charge_call(BOB, 50, "a"))

        await until(lambda: used(store, BOB) == 50)

        assert ANN in shard.views
        store.held = None
        await shard.settle()
        assert len(store.collections["subscriptions"]) == 2


class Held(MemoryStore):
    """Refuses whatever touches one user, as while another program's transaction holds a document."""

    held: UserId | None = ANN

    def write_views(self, views: Sequence[AccountViews]) -> None:
        if any(view.user_id == self.held for view in views):
            raise StorageUnavailableError from ConnectionError("a conflict")
        super().write_views(views)
