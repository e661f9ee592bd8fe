"""RAM is compared with MongoDB beside the shard's work: what differs is found, nothing else is."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from actors.protocol.calls import Call
from actors.protocol.reports import Findings, Reread
from actors.shard.comparison import CHUNK, RECHECK_SECONDS, Comparison
from actors.shard.shard import Shard
from domain.account import Account
from domain.messages import ChangeSubscription, Entry
from domain.subscription import Subscription
from domain.values import Credits, Policy, Status, UserId
from tests.builders.authors import Author, write
from tests.fakes.comparison import Naps, compare, corrupt
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import Setup
from tests.fakes.shards import (
    Clock,
    ask,
    ask_one,
    at_the_gate,
    charge_call,
    credit_call,
    in_loop,
    running,
    until,
)
from tests.fakes.shards import status as status_of

ANN = UserId("ann")
BOB = UserId("bob")
USERS = [UserId(f"user-{n}") for n in range(40)]


async def begin(shard: Shard, users: list[UserId]) -> None:
    for user_id in users:
        await ask(
            shard,
            credit_call(user_id, 3000, 30, f"credit {user_id}"),
            charge_call(user_id, 5, f"charge {user_id}"),
        )


# --- what differs -------------------------------------------------------------------------


@in_loop
async def test_corrupted_accounts_are_found_named_and_repaired_and_then_none_differs(
    setup: Setup,
) -> None:
    store = setup.store
    async with running(store) as shard:
        await begin(shard, USERS)
        await (
            shard.settle()
        )  # A flush on its way would be read in parts: mongomock isolates nothing.
        before = {user: shard.accounts[user] for user in USERS}
        for user_id in USERS[7:10]:
            corrupt(shard, user_id)

        first = await compare(shard, store)
        second = await compare(shard, store)
        after = dict(shard.accounts)

    assert first == Findings(checked=40, stale=3, repaired=3, users=[*USERS[7:10]])
    assert second == Findings(checked=40)
    assert after == before


@in_loop
async def test_without_repair_what_differs_stays_and_is_found_again() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await begin(shard, [ANN])
        corrupt(shard, ANN)

        first = await compare(shard, store, repair=False)
        second = await compare(shard, store, repair=False)

    assert first == second == Findings(checked=1, stale=1, users=[ANN])


@in_loop
async def test_every_kind_of_difference_is_counted_under_its_name() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await begin(shard, [ANN, BOB])
        await shard.settle()
        await status_of(shard, "cat")
        write(store, [Author("cat").add()])
        subscription_id = shard.accounts[ANN].subscriptions[0].subscription_id
        del store.collections["subscriptions"][subscription_id]
        corrupt(shard, BOB)

        report = await compare(shard, store)
        shown = [(await status_of(shard, name)).status for name in (ANN, BOB, "cat")]

    assert (report.missing_in_db, report.stale, report.missing_in_ram) == (1, 1, 1)
    assert report.repaired == 3
    assert shown == [Status.NONE, Status.ACTIVE, Status.ACTIVE]


@in_loop
async def test_documents_that_cannot_be_read_are_counted_and_make_no_difference() -> None:
    store = MemoryStore()
    store.insert("subscriptions", {"_id": "odd", "user_id": ANN, "status": "odd"})
    async with running(store) as shard:
        await status_of(shard, ANN)

        report = await compare(shard, store)

    assert report == Findings(checked=1, quarantined=1)


@in_loop
async def test_more_accounts_than_one_chunk_are_all_compared() -> None:
    store = MemoryStore()
    users = [UserId(f"u-{n}") for n in range(CHUNK + 3)]
    async with running(store) as shard:
        await asyncio.gather(*(status_of(shard, user_id) for user_id in users))

        report = await compare(shard, store)

    assert report == Findings(checked=CHUNK + 3)
    assert store.calls["load"] >= 2


# --- what only looks different ------------------------------------------------------------


@in_loop
async def test_an_account_that_was_not_touched_since_yesterday_is_no_difference() -> None:
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock) as shard:
        await begin(shard, [ANN])
        clock.advance(days=3)

        report = await compare(shard, store)

    assert report == Findings(checked=1)


@in_loop
async def test_an_account_whose_views_lag_is_no_difference() -> None:
    store = MemoryStore()
    async with running(store, views=False) as shard:
        await begin(shard, [ANN])

        report = await compare(shard, store)

    assert report == Findings(checked=1)


@in_loop
async def test_an_append_on_its_way_is_no_difference_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await begin(shard, [ANN])
        # The entry is durable, and the shard has not heard so yet.
        landed = asyncio.Event()
        append, loop = store.append, asyncio.get_running_loop()
        gate = store.hold("after append")

        def slow_append(entries: Sequence[Entry]) -> None:
            append(entries)
            loop.call_soon_threadsafe(landed.set)
            store.enter("after append")

        monkeypatch.setattr(store, "append", slow_append)
        charge = asyncio.create_task(ask_one(shard, charge_call(ANN, 1, "slow")))
        await landed.wait()

        async def let_it_land() -> None:
            if naps.rechecks == 3:
                gate.open()
                await charge

        naps = Naps(let_it_land)
        report = await compare(shard, store, naps)

    assert naps.rechecks >= 3
    assert report == Findings(checked=1)


@in_loop
async def test_an_edit_of_another_program_that_is_on_its_way_is_no_difference() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await begin(shard, [ANN])
        await shard.settle()
        (document,) = store.collections["subscriptions"].values()
        document["status"] = "paused"

        report = await compare(shard, store, Naps(lambda: shard.accounts.forget(ANN)))
        shown = await status_of(shard, ANN)

    assert report == Findings()  # It left RAM meanwhile, so there was nothing to compare.
    assert shown.status is Status.PAUSED


@in_loop
async def test_one_edit_after_the_other_each_on_its_way_is_no_difference() -> None:
    store, edits = MemoryStore(), ["cancelled", "past_due"]
    async with running(store) as shard:
        await begin(shard, [ANN])
        await shard.settle()
        (document,) = store.collections["subscriptions"].values()
        document["status"] = "paused"

        async def follow_and_edit_again(seconds: float) -> None:
            if seconds == RECHECK_SECONDS:
                await (shard.inbox.put(ANN, None, anew=True) or asyncio.sleep(0))
                document["status"] = edits.pop(0) if edits else document["status"]

        report = await Comparison(shard, store, follow_and_edit_again).compare(repair=True)

    assert not edits
    assert report == Findings(checked=1)


@in_loop
async def test_an_account_that_is_charged_while_it_is_read_is_compared_all_the_same() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await begin(shard, [ANN])
        gate = store.hold("load")
        comparing = asyncio.create_task(compare(shard, store))
        await at_the_gate(gate)
        await ask_one(shard, charge_call(ANN, 1, "meanwhile"))
        gate.open()

        report = await comparing

    assert report == Findings(checked=1)


@in_loop
async def test_a_difference_that_charges_go_on_from_is_found() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await begin(shard, [ANN])
        corrupt(shard, ANN)
        charges: list[asyncio.Task[object]] = []

        def charge() -> None:
            call = charge_call(ANN, 1, f"later {len(charges)}")
            charges.append(asyncio.create_task(ask_one(shard, call)))

        report = await compare(shard, store, Naps(charge, turns=50))
        await asyncio.gather(*charges)
        shown = await status_of(shard, ANN)

    assert (report.stale, report.repaired) == (1, 1)
    assert shown.credits_used == 5 + len(charges)


@pytest.mark.parametrize("seed", range(30))
@in_loop
async def test_no_false_alarm_in_any_order_of_things_and_no_corruption_is_missed(seed: int) -> None:
    random = Random(seed)
    store, clock = MemoryStore(), Clock()
    async with running(store, clock=clock, accounts_max=random.choice([25, 1000])) as shard:
        await begin(shard, USERS)
        stopping = asyncio.Event()
        life = asyncio.create_task(live(shard, store, clock, random, stopping))

        quiet = [await compare(shard, store, Naps(turns=random.randint(1, 9))) for _ in range(3)]
        stopping.set()
        await life
        residents = sorted(u for u in shard.accounts if shard.accounts[u].subscriptions)
        spoilt = random.sample(residents, 3)
        for user_id in spoilt:
            shard.accounts._awake.put(spoil(shard.accounts[user_id]))
        found = await compare(shard, store)
        after = await compare(shard, store)

    assert [report.users for report in quiet] == [[], [], []]
    assert sorted(found.users) == sorted(spoilt)
    assert found.repaired == 3
    assert after.users == []


def spoil(account: Account) -> Account:
    subscription: Subscription = account.subscriptions[-1]
    return account.with_subscription(
        replace(subscription, system_portion=Credits(subscription.system_portion + 1))
    )


async def live(
    shard: Shard, store: MemoryStore, clock: Clock, random: Random, stopping: asyncio.Event
) -> None:
    """Charge, pay, change and forget at random, with faults, beside the comparison."""
    step = 0
    while not stopping.is_set():
        step += 1
        kind = random.choice(["call"] * 10 + ["forget", "doubt", "time", "read"])
        user_id = random.choice(USERS)
        if kind == "call":
            await ask_one(shard, some_call(shard, user_id, random, step))
        elif kind == "forget" and user_id not in shard.inbox.taken:
            shard.accounts.forget(user_id)
        elif kind == "doubt":
            store.fail_append(random.choice(["in doubt, landed", "in doubt, lost"]))
        elif kind == "time":
            clock.advance(hours=random.randint(0, 9))
        else:
            await status_of(shard, user_id)
        if random.random() < 0.3:
            await asyncio.sleep(0)


def some_call(shard: Shard, user_id: UserId, random: Random, step: int) -> Call:
    chance, account = random.random(), shard.accounts.get(user_id)
    if chance < 0.2 and account and account.subscriptions:
        status = random.choice([Status.PAUSED, Status.ACTIVE, Status.EXPIRED])
        named = account.subscriptions[-1].subscription_id
        command = ChangeSubscription(user_id, named, status)
        return Call(command, f"change {step}", keep_refusal=True)
    if chance < 0.3:
        return credit_call(user_id, 100, random.randint(1, 9), f"credit {step}")
    return charge_call(user_id, random.randint(0, 40), f"charge {step}", record=True)


# --- reading anew -------------------------------------------------------------------------


async def reread(shard: Shard, store: MemoryStore, user_id: UserId | None = None) -> Reread:
    return await Comparison(shard, store, Naps()).reread(user_id)


@in_loop
async def test_reading_all_anew_counts_what_differed_and_what_is_gone() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await begin(shard, USERS)
        await shard.settle()
        corrupt(shard, USERS[3])
        gone = shard.accounts[USERS[5]].subscriptions[0].subscription_id
        del store.collections["subscriptions"][gone]

        first = await reread(shard, store)
        second = await reread(shard, store)
        shown = await status_of(shard, USERS[5])

    assert first == Reread(checked=40, reloaded=1, removed=1)
    assert second == Reread(checked=40)
    assert shown.status is Status.NONE


@in_loop
async def test_reading_one_user_anew_leaves_the_others_and_loads_one_who_was_not_there() -> None:
    store = MemoryStore()
    async with running(store) as shard:
        await begin(shard, [ANN, BOB])
        corrupt(shard, BOB)
        spoilt = shard.accounts[BOB]
        shard.accounts.forget(ANN)

        absent, resident = await reread(shard, store, ANN), await reread(shard, store, ANN)

        assert shard.accounts[BOB] is spoilt
    assert (absent, resident) == (Reread(1, 1, 0), Reread(1, 0, 0))


@in_loop
async def test_an_account_read_anew_amid_its_commit_is_read_after_it() -> None:
    store = MemoryStore()
    async with running(store, policy=Policy(system_portion_bps=0)) as shard:
        await begin(shard, [ANN])
        corrupt(shard, ANN)
        gate = store.hold("append")
        charge = asyncio.create_task(ask_one(shard, charge_call(ANN, 1, "k")))
        await at_the_gate(gate)
        reading = asyncio.create_task(reread(shard, store, ANN))
        await until(lambda: len(shard.inbox) == 1)
        gate.open()

        await asyncio.gather(charge, reading)
        shown = await status_of(shard, ANN)

    assert shown.credits_used == 6
