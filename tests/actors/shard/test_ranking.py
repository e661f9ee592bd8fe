"""Who of a shard's users has the least left: all in RAM are looked at, and the shard goes on meanwhile."""

import asyncio
from datetime import timedelta
from random import Random

import pytest

from actors.mongo.accounts.warm_reader import WarmReader
from actors.protocol.ranking import Order, Ranked, first_of_all
from actors.shard import ranking
from actors.shard.ranking import FRESH_SECONDS, OLD_SECONDS, Best, Ranking, left_of
from actors.shard.shard import Shard
from domain.values import Credits, UserId
from tests.builders.authors import NOON, POLICY, Author, write
from tests.builders.ledger import NOON as BEGINNING
from tests.builders.ledger import ONE_DAY, ledger_with
from tests.fakes.memory_store import MemoryStore
from tests.fakes.setups import MongoSetup
from tests.fakes.shards import Seconds, ask, charge_call, credit_call, in_loop, running, until

USERS = {UserId(f"user-{n}"): used for n, used in enumerate((30, 89, 0, 55, 90))}
"""And what each has used of 90."""
LEAST = ["user-4", "user-1", "user-3", "user-0", "user-2"]


async def at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


class Gate:
    """Stands in for a sleep, and lets a look go on when it is told."""

    def __init__(self) -> None:
        self.slept = 0
        self.open = asyncio.Event()

    async def __call__(self, _seconds: float) -> None:
        self.slept += 1
        await self.open.wait()


async def begin(shard: Shard) -> None:
    for user_id, used in USERS.items():
        await ask(shard, credit_call(user_id, 3000, 30, f"credit {user_id}"))
        await ask(shard, charge_call(user_id, used, f"charge {user_id}"))


def named(ranked: Ranked) -> list[str]:
    return [user_id for _, user_id in ranked.first]


@in_loop
async def test_the_first_are_those_with_the_least_or_the_most_left() -> None:
    async with running(MemoryStore()) as shard:
        await begin(shard)
        asked = Ranking(shard, at_once)
        least, most = await asked.first(Order.LEAST, 3), await asked.first(Order.MOST, 2)

    assert (least.users, least.looked_at, least.as_of) == (5, 5, NOON)
    assert least.first == [(0, "user-4"), (1, "user-1"), (35, "user-3")]
    assert named(most) == ["user-2", "user-0"]


@in_loop
async def test_accounts_that_nobody_has_touched_since_the_start_are_looked_at_and_stay_so(
    embedded: MongoSetup,
) -> None:
    for user_id, used in USERS.items():
        author = Author(user_id)
        write(embedded.store, [author.add(), author.use(used)])
    async with running(embedded.store) as shard:
        warming = asyncio.create_task(shard.warm_start.run(WarmReader(embedded.database)))
        await until(lambda: len(shard.accounts.dormant) == len(USERS))
        least = await Ranking(shard, at_once).first(Order.LEAST, 9)
        dormant = len(shard.accounts.dormant)
        warming.cancel()

    assert named(least) == LEAST
    assert dormant == len(USERS)


def test_without_a_subscription_or_packs_there_is_nothing_to_rank_by() -> None:
    ledger = ledger_with(90, 10)

    assert left_of(ledger.account, BEGINNING, POLICY) == 90
    assert left_of(ledger.account, BEGINNING + 11 * ONE_DAY, POLICY) is None


@in_loop
async def test_a_look_that_takes_long_tells_what_it_has_found_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking, "SLICE", 2)
    monkeypatch.setattr(ranking, "WAIT_SECONDS_MAX", 0.01)
    async with running(MemoryStore()) as shard:
        await begin(shard)
        gate = Gate()
        asked = Ranking(shard, gate)
        first = await asked.first(Order.LEAST, 9)
        gate.open.set()
        monkeypatch.setattr(ranking, "WAIT_SECONDS_MAX", 60.0)
        second = await asked.first(Order.LEAST, 9)

    assert (first.users, first.looked_at) == (5, 2)
    assert len(first.first) == 2
    assert second.looked_at == 5
    assert named(second) == LEAST


@in_loop
async def test_one_look_serves_all_who_ask_meanwhile_and_shortly_after() -> None:
    seconds = Seconds()
    async with running(MemoryStore()) as shard:
        await begin(shard)
        gate = Gate()
        asked = Ranking(shard, gate, seconds)
        askers = [asyncio.create_task(asked.first(Order.LEAST, 1)) for _ in range(20)]
        await asyncio.sleep(0)
        gate.open.set()
        first = await asyncio.gather(*askers)
        slept = gate.slept
        await ask(shard, charge_call("user-2", 90, "another"))
        seconds.now += FRESH_SECONDS - 1
        shortly = await asked.first(Order.LEAST, 1)
        seconds.now += 2
        later = await asked.first(Order.LEAST, 9)

    assert slept == 1
    assert {one.first[0] for one in first} == {(0, "user-4")} == {shortly.first[0]}
    assert (0, "user-2") in later.first


@pytest.mark.parametrize(("age", "looked_at"), [(OLD_SECONDS - 1, 5), (OLD_SECONDS + 1, 2)])
@in_loop
async def test_the_last_whole_look_serves_while_the_next_one_takes_long(
    monkeypatch: pytest.MonkeyPatch, age: float, looked_at: int
) -> None:
    monkeypatch.setattr(ranking, "SLICE", 2)
    seconds = Seconds()
    async with running(MemoryStore()) as shard:
        await begin(shard)
        gate = Gate()
        gate.open.set()
        asked = Ranking(shard, gate, seconds)
        await asked.first(Order.LEAST, 9)
        gate.open.clear()
        monkeypatch.setattr(ranking, "WAIT_SECONDS_MAX", 0.01)
        seconds.now += age
        later = await asked.first(Order.LEAST, 9)
        gate.open.set()

    assert later.looked_at == looked_at


@in_loop
async def test_the_shard_decides_while_a_look_goes_on() -> None:
    async with running(MemoryStore()) as shard:
        await begin(shard)
        gate = Gate()
        looking = asyncio.create_task(Ranking(shard, gate).first(Order.LEAST, 1))
        await ask(shard, charge_call("user-2", 1, "meanwhile"))
        assert not looking.done()
        gate.open.set()
        await looking


def test_of_many_only_the_best_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "RANKED_MAX", 10)
    ranks, best = list(range(500)), Best()
    Random(7).shuffle(ranks)
    for rank in ranks:
        best.add(rank, UserId(str(rank)))

    assert [rank for rank, _ in best.first(20)] == list(range(499, 489, -1))


@pytest.mark.parametrize(("order", "first"), [(Order.LEAST, "abc"), (Order.MOST, "dcb")])
def test_the_first_of_all_shards_are_the_first_of_each_together(order: Order, first: str) -> None:
    def part(looked_at: int, hours: int, *ranked: tuple[int, str]) -> Ranked:
        told = [(Credits(left), UserId(user_id)) for left, user_id in ranked]
        return Ranked(5, looked_at, NOON + timedelta(hours=hours), told)

    found = first_of_all([part(5, 1, (1, "a"), (3, "c")), part(2, 0, (2, "b"), (4, "d"))], order, 3)

    assert "".join(named(found)) == first
    assert (found.users, found.looked_at, found.as_of) == (10, 7, NOON)
