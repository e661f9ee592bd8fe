"""Holds on the running service: exact beside killed shards, and never leaked by dead clients."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import ray

from actors.client import Allotment
from actors.protocol.errors import HoldClosedError, InsufficientCreditsError
from actors.remote.shards import RayShards
from domain.values import UserId
from tests.patience import PATIENCE_SECONDS
from tests.seeds import SEED
from tests.service.running import RunningService, wait_until

pytestmark = pytest.mark.cluster

PAYMENT = {"method": "card", "transaction_id": "t-1", "amount": 2900, "currency": "eur"}
PAIRS = 500
GIVEN = 20_000
CLIENTS = 200
CLIENTS_TOGETHER = 8
EXPIRY_SECONDS_MAX = PATIENCE_SECONDS
DYING = Path(__file__).with_name("dying_client.py")


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[Allotment]:
    client = Allotment.connect(service.ray_address, timeout_seconds=60)
    yield client
    client.close()
    ray.shutdown()


def books_of(service: RunningService, user_id: str) -> dict[str, int]:
    """Return the sums over a user's documents."""
    with service.mongo() as mongo:
        days = list(mongo.allotment.dailycredits.find({"user_id": user_id}))
        usages = list(mongo.allotment.usages.find({"user_id": user_id}))
    return {
        "used": sum(day["credits_used"] for day in days),
        "held": sum(day["credits_held"] for day in days),
        "holds": sum(len(day.get("holds") or []) for day in days),
        "usages": sum(usage["credit_amount"] for usage in usages),
    }


def test_a_hold_is_settled_over_http_and_by_a_block(client: Allotment, http: httpx.Client) -> None:
    client.add_credit("shafi", 3000, 30, PAYMENT)

    placed = http.post(
        "/subscription/holds",
        json={"user_id": "shafi", "credit_amount": 40, "service_type": "chat"},
    ).json()
    held = client.check_daily_allocation("shafi")
    settled = client.settle(placed["hold_id"], 15)
    with client.holding("shafi", "chat", 30) as holding:
        inside = http.get("/subscription/holds", params={"user_id": "shafi"}).json()
        holding.report(5)

    assert (held.credits_held, held.remaining_credits) == (40, 50)
    assert (settled.credits_used, settled.remaining_credits) == (15, 75)
    assert [hold["hold_id"] for hold in inside["holds"]] == [holding.hold.hold_id]
    assert holding.usage is not None
    assert holding.usage.remaining_credits == 70
    with pytest.raises(HoldClosedError):
        client.release(placed["hold_id"])


@pytest.mark.parametrize("seed", [SEED])
def test_five_hundred_pairs_on_one_user_are_exact_while_its_shard_is_killed(
    client: Allotment, service: RunningService, seed: int
) -> None:
    dice = random.Random(seed)
    added = client.add_credit("silvio", GIVEN, 1, PAYMENT)
    sizes = [(dice.randint(0, 50), dice.randint(0, 70)) for _ in range(PAIRS)]

    async def pair(number: int) -> int:
        held, cost = sizes[number]
        shards = client.client
        try:
            hold = await shards.hold("silvio", "chat", held, expires_in=3600)
            charged = await shards.settle(hold.hold_id, cost, key=f"settle {number}")
        except InsufficientCreditsError:
            return 0
        return charged.credit_amount

    async def all_and_kill() -> list[int]:
        shards = RayShards()
        pid = (await shards.report((await shards.directory()).owner(UserId("silvio")))).pid
        pairs = [asyncio.create_task(pair(number)) for number in range(PAIRS)]
        await pairs[PAIRS // 4]
        os.kill(pid, signal.SIGKILL)
        return await asyncio.gather(*pairs)

    charged = sum(client.wait(all_and_kill()))
    for hold in client.get_holds("silvio").holds:  # Of pairs whose settlement was refused.
        client.release(hold.hold_id)

    shown = client.check_daily_allocation("silvio")
    client.get_subscriptions("silvio")  # Waits until the views contain what was answered.
    assert (shown.credits_used, shown.credits_held) == (charged, 0)
    assert shown.remaining_credits == added.subscription.daily_credit_limit - charged >= 0
    books = books_of(service, "silvio")
    assert books == {"used": charged, "held": 0, "holds": 0, "usages": charged}


def die_amid_it(service: RunningService, name: str, dice: random.Random) -> None:
    """Let clients hold and settle, and kill each at a random moment after its first hold."""
    users = [f"{name}-{number}" for number in range(CLIENTS_TOGETHER)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-I", "-S", DYING, str(service.port), service.key, user, user],
            stdout=subprocess.PIPE,
        )
        for user in users
    ]
    for process in processes:
        with process:
            assert process.stdout is not None
            for _ in range(dice.randint(1, 12)):
                assert process.stdout.readline()
            process.kill()


@pytest.mark.parametrize("seed", [SEED])
def test_no_hold_of_a_client_that_was_killed_outlives_its_expiry(
    client: Allotment, service: RunningService, seed: int
) -> None:
    dice = random.Random(seed)
    names = [f"dying-{seed}-{batch}" for batch in range(CLIENTS // CLIENTS_TOGETHER)]
    users = [f"{name}-{number}" for name in names for number in range(CLIENTS_TOGETHER)]
    for user in users:
        client.add_credit(user, 300_000, 30, PAYMENT)
    broken_before = client.validate(repair=False).invariants_broken  # By documents of others.

    for name in names:
        die_amid_it(service, name, dice)

    def free() -> bool:
        return all(s.credits_held == 0 for s in client.check_daily_allocations(users))

    wait_until(free, EXPIRY_SECONDS_MAX)
    report = client.validate(repair=False)
    assert (report.drift, report.invariants_broken) == (0.0, broken_before)
    with service.mongo() as mongo:
        days = list(mongo.allotment.dailycredits.find({"user_id": {"$in": users}}))
        kinds = mongo.allotment.allotment_journal.distinct("kind", {"user_id": {"$in": users}})
        days_of_all = mongo.allotment.dailycredits
        wait_until(  # Those of others expire meanwhile.
            lambda: not days_of_all.count_documents({"holds_until": {"$lte": datetime.now(UTC)}}),
            EXPIRY_SECONDS_MAX,
        )
    assert len(days) == len(users)
    assert {"hold_placed", "hold_settled", "hold_freed"} <= set(kinds)
    assert sum(day["credits_held"] for day in days) == 0
