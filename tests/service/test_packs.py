"""Packs and corrections on the running service: exact beside a killed shard and under load."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import ray

from actors.client import Allotment, AsyncAllotment
from actors.protocol.errors import InsufficientCreditsError
from actors.remote.shards import RayShards
from domain.values import UserId
from tests.seeds import SEED
from tests.service.running import RunningService

pytestmark = pytest.mark.cluster

CHARGES = 1_000
BURST = 100
"""Charges sent before the shard is killed."""
HOLDS_SHARE = 0.3
DAILY, IN_PACK = 90, 1_000
CONNECTIONS = 64


def paid(name: str) -> dict[str, Any]:
    return {"method": "card", "transaction_id": name, "amount": 2900, "currency": "eur"}


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[Allotment]:
    client = Allotment.connect(service.ray_address, timeout_seconds=60)
    yield client
    client.close()
    ray.shutdown()


def give_day_and_pack(http: httpx.Client, user_id: str) -> None:
    """Give a user DAILY credits a day and IN_PACK in a pack, the system's portion aside."""
    daily = {"user_id": user_id, "amount": DAILY * 10 * 10 // 9, "days": 10}
    pack = {"user_id": user_id, "amount": 1_111, "kind": "pack"}
    for number, body in enumerate((daily, pack)):
        answer = http.post("/subscription/credits", json=body | {"payment": paid(f"p{number}")})
        assert answer.status_code == 201, answer.text


def books_of(service: RunningService, user_id: str) -> dict[str, int]:
    """Return the sums over a user's documents, by source."""
    with service.mongo() as mongo:
        database = mongo.allotment
        days = list(database.dailycredits.find({"user_id": user_id}))
        packs = list(database.packs.find({"user_id": user_id}))
        usages = list(database.usages.find({"user_id": user_id}))
    sources = [source for usage in usages for source in usage["sources"]]
    return {
        "day": sum(day["credits_used"] for day in days),
        "pack": sum(pack["credits_used"] for pack in packs),
        "held": sum(document["credits_held"] for document in [*days, *packs]),
        "usages": sum(usage["credit_amount"] for usage in usages),
        "of_day": sum(s["credit_amount"] for s in sources if s["source"] == "day"),
        "of_pack": sum(s["credit_amount"] for s in sources if s["source"] == "pack"),
    }


def test_a_charge_takes_the_day_and_then_the_pack_which_outlives_the_subscription(
    http: httpx.Client,
) -> None:
    give_day_and_pack(http, "packs-frida")

    charged = http.post(
        "/subscription/usage",
        json={"user_id": "packs-frida", "service_type": "chat", "credit_amount": 120},
    ).json()
    status = http.get("/subscription/status", params={"user_id": "packs-frida"}).json()
    ended = http.patch(f"/subscriptions/{status['subscription_id']}", json={"status": "cancelled"})
    rest = http.post(
        "/subscription/usage",
        json={"user_id": "packs-frida", "service_type": "chat", "credit_amount": 970},
    )

    taken = [(source["source"], source["credit_amount"]) for source in charged["sources"]]
    assert taken == [("day", 90), ("pack", 30)]
    left = (status["day_remaining_credits"], status["pack_credits"], status["remaining_credits"])
    assert left == (0, 970, 970)
    assert ended.status_code == 200
    assert rest.status_code == 201, rest.text
    assert rest.json()["remaining_credits"] == 0


async def charge(shards: AsyncAllotment, cost: int, by_hold: bool) -> int:
    """Charge, at once or by a hold; return what was charged."""
    try:
        if not by_hold:
            return (await shards.record_usage("packs-grace", "chat", cost)).credit_amount
        hold = await shards.hold("packs-grace", "chat", cost, expires_in=3600)
        return (await shards.settle(hold.hold_id, cost)).credit_amount
    except InsufficientCreditsError:
        return 0


@pytest.mark.parametrize("seed", [SEED])
def test_a_thousand_charges_take_exactly_what_fits_while_the_shard_is_killed(
    client: Allotment, http: httpx.Client, service: RunningService, seed: int
) -> None:
    dice = random.Random(seed)
    give_day_and_pack(http, "packs-grace")
    costs = [(dice.randint(1, 3), dice.random() < HOLDS_SHARE) for _ in range(CHARGES)]

    async def all_and_kill() -> list[int]:
        shards = RayShards()
        pid = (await shards.report((await shards.directory()).owner(UserId("packs-grace")))).pid
        charges = [asyncio.create_task(charge(client.client, *cost)) for cost in costs]
        await asyncio.gather(*charges[:BURST])
        os.kill(pid, signal.SIGKILL)
        return await asyncio.gather(*charges)

    charged = sum(client.wait(all_and_kill()))
    for hold in client.get_holds(
        "packs-grace"
    ).holds:  # A hold whose answer was lost is made twice.
        client.release(hold.hold_id)

    shown = client.check_daily_allocation("packs-grace")
    client.get_subscriptions("packs-grace")  # Waits until the views contain what was answered.
    left = DAILY + IN_PACK - charged
    assert shown.remaining_credits == left
    assert 0 <= left < 3
    books = books_of(service, "packs-grace")
    assert books["held"] == 0
    assert books["day"] == books["of_day"] == DAILY
    assert books["pack"] == books["of_pack"] == charged - DAILY
    assert books["usages"] == charged


def test_a_balance_is_set_exactly_while_others_charge(
    client: Allotment, http: httpx.Client, service: RunningService
) -> None:
    give_day_and_pack(http, "packs-hedy")

    async def charge(number: int) -> int:
        made = await client.client.record_usage("packs-hedy", "chat", 1, key=f"charge {number}")
        return made.credit_amount

    async def all_and_set() -> int:
        charges = [asyncio.create_task(charge(number)) for number in range(CONNECTIONS * 4)]
        await asyncio.gather(*charges[:CONNECTIONS])
        adjusted = await client.client.adjust("packs-hedy", "a wish", remaining_credits=500)
        await asyncio.gather(*charges)
        return adjusted.credit_amount

    taken = -client.wait(all_and_set())

    shown = client.check_daily_allocation("packs-hedy")
    history = http.get("/subscriptions/packs-hedy/history", params={"limit": 500}).json()["items"]
    adjustments = [item for item in history if item["kind"] == "credits_adjusted"]
    assert len(adjustments) == 1
    after = sum(
        item["kind"] == "usage_recorded" and item["seq"] > adjustments[0]["seq"] for item in history
    )
    assert shown.remaining_credits == 500 - after
    assert taken == DAILY + IN_PACK - (CONNECTIONS * 4 - after) - 500
    assert adjustments[0]["change"]["reason"] == "a wish"


def test_a_failed_jobs_credits_come_back_once_however_many_ask(
    client: Allotment, http: httpx.Client, service: RunningService
) -> None:
    give_day_and_pack(http, "packs-ida")
    usage_id = client.record_usage("packs-ida", "chat", 100).usage_id
    part = client.reverse("packs-ida", usage_id, "it failed", credit_amount=30)

    url = f"/subscription/usage/{usage_id}/reversals"
    answers = [http.post(url, json={"reason": "it failed"}) for _ in range(2)]

    assert (part.returned_credits, part.remaining_credits) == (30, DAILY + IN_PACK - 70)
    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[0].json()["reversed_credits"] == 100
    assert answers[1].json()["code"] == "already_reversed"
    shown = client.check_daily_allocation("packs-ida")
    assert (shown.day_remaining_credits, shown.pack_credits) == (DAILY, IN_PACK)
    listed = http.get("/subscription/usage", params={"user_id": "packs-ida"}).json()["items"]
    assert [item["reversed_credits"] for item in listed] == [100]
