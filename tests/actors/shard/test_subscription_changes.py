"""Changes of subscriptions by operators and by time: in the documents, in RAM, after a restart."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from actors.protocol.calls import Call, Outcome
from domain.api.answers import SubscriptionRecord
from domain.messages import ChangeSubscription, ExpireSubscription, Rejection
from domain.values import Status, UserId
from tests.builders.authors import NOON, Author, write
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import Setup
from tests.fakes.shards import Clock, ask, ask_one, charge_call, credit_call, in_loop, running
from tests.fakes.shards import status as status_of

ANN = UserId("ann")
ONE_DAY = timedelta(days=1)


def change(subscription_id: str, key: str = "change", **fields: Any) -> Call:
    return Call(ChangeSubscription(ANN, subscription_id, **fields), key, keep_refusal=True)


def expire(subscription_id: str, key: str = "expire") -> Call:
    return Call(ExpireSubscription(ANN, subscription_id), key, keep_refusal=False)


# --- documents ----------------------------------------------------------------------------


def test_a_change_sets_what_it_names_and_nothing_else(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    before = setup.document("subscriptions")

    end = NOON + 5 * ONE_DAY
    entry = author.do(ChangeSubscription(ANN, before["_id"], Status.PAUSED, end))
    write(setup.store, [entry])

    changed = {"status": "paused", "end_date": end, "applied_seq": 2, "revision": 2}
    changed |= {"changed_at": NOON}
    assert setup.document("subscriptions") == before | changed
    assert Author.of(setup.store.load([ANN], NOON)[0]).account == author.account


def test_a_changed_status_leaves_an_end_that_another_program_moved(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add()])
    entry = author.do(
        ChangeSubscription(ANN, author.account.subscriptions[0].subscription_id, Status.PAUSED)
    )
    moved = NOON + 90 * ONE_DAY
    setup.change("subscriptions", {"user_id": ANN}, end_date=moved)

    write(setup.store, [entry])

    document = setup.document("subscriptions")
    assert (document["status"], document["end_date"]) == ("paused", moved)


def test_a_moved_end_writes_an_implied_grant_out(setup: Setup) -> None:
    setup.insert(
        "subscriptions",
        _id="65f0a1b2c3d4e5f601234567",
        user_id=ANN,
        start_date=NOON - 2 * ONE_DAY,
        end_date=NOON + 8 * ONE_DAY,
        total_credits=1000.0,
        spendable_credits=900.0,
        status="active",
        grants=None,
        __v=0,
    )
    author = Author.of(setup.store.load([ANN], NOON)[0])

    entry = author.do(
        ChangeSubscription(ANN, "65f0a1b2c3d4e5f601234567", None, NOON + 20 * ONE_DAY)
    )
    write(setup.store, [entry])

    document = setup.document("subscriptions")
    (grant,) = document["grants"]
    assert (grant["amount"], grant["days"], grant["from_day"]) == (900, 10, "2026-03-08")
    assert (document["spendable_credits"], document["__v"]) == (900, 0)
    assert Author.of(setup.store.load([ANN], NOON)[0]).account == author.account


@pytest.mark.parametrize("moved", [False, True])
def test_an_expiry_is_written_unless_another_program_has_moved_the_end(
    setup: Setup, moved: bool
) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(days=1)])
    author.now = NOON + 2 * ONE_DAY
    entry = author.do(ExpireSubscription(ANN, author.account.subscriptions[0].subscription_id))
    if moved:
        setup.change("subscriptions", {"user_id": ANN}, end_date=NOON + 9 * ONE_DAY)

    write(setup.store, [entry])

    document = setup.document("subscriptions")
    assert document["status"] == ("active" if moved else "expired")
    assert (document["applied_seq"], document["revision"]) == (2, 2)


def test_an_end_that_only_the_journal_moves_later_brings_the_days_along(setup: Setup) -> None:
    author = Author(ANN)
    write(setup.store, [author.add(900, 1), author.use(5)])
    author.now = NOON + 2 * ONE_DAY
    subscription_id = author.account.subscriptions[0].subscription_id
    entry = author.do(ChangeSubscription(ANN, subscription_id, None, NOON + 5 * ONE_DAY))

    setup.store.append([entry])

    (stored,) = setup.store.load([ANN], author.now)
    assert Author.of(stored, author.now).account == author.account
    assert author.account.subscriptions[0].day is not None


# --- a shard ------------------------------------------------------------------------------


async def begun(store: MemoryStore, clock: Clock, count: int) -> list[str]:
    """Give Ann so many subscriptions of a day, one after the other; the last goes on."""
    ids = []
    async with running(store, clock=clock) as shard:
        for index in range(count):
            await ask(
                shard,
                credit_call(ANN, 1000, 1, f"credit {index}"),
                charge_call(ANN, 10, f"charge {index}"),
            )
            ids.append((await status_of(shard, ANN)).subscription_id or "")
            if index < count - 1:
                clock.advance(days=3)
        await shard.settle()
    return ids


@in_loop
async def test_a_subscription_long_gone_is_changed_in_ram_and_in_mongodb() -> None:
    store, clock = MemoryStore(), Clock()
    first, _, last = await begun(store, clock, 3)
    async with running(store, clock=clock) as shard:
        assert (await status_of(shard, ANN)).subscription_id == last

        cancelled = await ask_one(shard, change(last, "cancel", status=Status.CANCELLED))
        moved = await ask_one(shard, change(first, end_date=clock() + ONE_DAY))
        shown = await status_of(shard, ANN)
        await shard.settle(ANN)

    record = SubscriptionRecord.model_validate_json(moved.body or b"")
    assert cancelled.outcome is moved.outcome is Outcome.DONE
    assert (record.subscription_id, record.end_date) == (first, clock() + ONE_DAY)
    assert (shown.subscription_id, shown.status) == (first, Status.ACTIVE)
    assert shown.remaining_credits == 890  # What its one day left over.
    assert store.collections["subscriptions"][first]["end_date"] == clock() + ONE_DAY
    assert store.collections["subscriptions"][last]["status"] == "cancelled"


@in_loop
async def test_what_a_shard_loaded_for_a_change_it_lets_go_again() -> None:
    store, clock = MemoryStore(), Clock()
    first, second, last = await begun(store, clock, 3)
    clock.advance(days=3)
    async with running(store, clock=clock) as shard:
        await ask(shard, change(first, "a", status=Status.PAUSED), change("none", "b"))
        account = shard.accounts[ANN]

    assert [s.subscription_id for s in account.subscriptions] == [last]
    assert all(account.has_payment(f"transaction of credit {n}") for n in range(3))
    assert store.collections["subscriptions"][second]["status"] == "active"


@in_loop
async def test_several_changes_of_one_batch_see_each_other() -> None:
    store, clock = MemoryStore(), Clock()
    (only,) = await begun(store, clock, 1)
    async with running(store, clock=clock) as shard:
        replies = await ask(
            shard,
            charge_call(ANN, 1, "before"),
            change(only, "pause", status=Status.PAUSED),
            charge_call(ANN, 1, "while paused"),
            change(only, "resume", status=Status.ACTIVE),
            charge_call(ANN, 1, "after"),
        )

    outcomes = [reply.outcome for reply in replies]
    done = Outcome.DONE
    assert outcomes == [done, done, Outcome.REFUSED, done, done]


@in_loop
async def test_a_repeated_change_gets_its_first_answer_and_another_body_is_refused() -> None:
    store, clock = MemoryStore(), Clock()
    (only,) = await begun(store, clock, 1)
    async with running(store, clock=clock) as shard:
        first = await ask_one(shard, change(only, status=Status.PAUSED))
        await ask_one(shard, change(only, "resume", status=Status.ACTIVE))
        again = await ask_one(shard, change(only, status=Status.PAUSED))
        other = await ask_one(shard, change(only, status=Status.CANCELLED))
        shown = await status_of(shard, ANN)

    assert (again.body, again.replayed) == (first.body, True)
    assert other.refusal is not None
    assert other.refusal.reason is Rejection.KEY_REUSED
    assert shown.status is Status.ACTIVE


@in_loop
async def test_a_subscription_expires_once_also_by_two_janitors_and_after_a_restart() -> None:
    store, clock = MemoryStore(), Clock()
    (only,) = await begun(store, clock, 1)
    clock.advance(days=2)
    async with running(store, clock=clock, views=False) as one, running(store, clock=clock) as two:
        first = await ask_one(one, expire(only))
        second = await ask_one(two, expire(only))
        await two.settle()
    async with running(store, clock=clock) as later:
        third = await ask_one(later, expire(only))

    reasons = [reply.refusal.reason for reply in (second, third) if reply.refusal]
    assert first.outcome is Outcome.DONE
    assert reasons == [Rejection.NOT_ENDED] * 2
    assert [e.seq for e in store.journal.values() if e.key == "expire"] == [3]
    assert store.collections["subscriptions"][only]["status"] == "expired"


@in_loop
async def test_a_subscription_that_goes_on_does_not_expire_and_leaves_no_trace() -> None:
    store, clock = MemoryStore(), Clock()
    (only,) = await begun(store, clock, 1)
    async with running(store, clock=clock) as shard:
        reply = await ask_one(shard, expire(only))

    assert reply.outcome is Outcome.REFUSED
    assert len(store.journal) == 2


def test_the_answers_of_changes_say_instants_in_utc() -> None:
    author = Author(ANN)
    author.add()
    subscription_id = author.account.subscriptions[0].subscription_id

    entry = author.do(ChangeSubscription(ANN, subscription_id, None, NOON + ONE_DAY))

    record = SubscriptionRecord.model_validate_json(entry.answer or "")
    assert record.end_date == datetime.fromisoformat("2026-03-11T12:00:00Z")
