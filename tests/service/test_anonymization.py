"""A user who is made anonymous on the running service, under load, while shards are killed."""

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import ray

from actors.client import Allotment
from actors.protocol.errors import GoesOnError
from actors.protocol.reports import AnonymizationReport
from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService, wait_until
from tests.traces import traces

pytestmark = pytest.mark.cluster

LEAVING, STAYING = "leaving-user-7f3a", "staying-user-51bc"
PAYMENT = {"method": "card", "amount": 2900, "currency": "eur"}
CONNECTIONS = 64
CHARGES_BEFORE = 300
AGAIN = {500, 502, 503, 504}


@dataclass
class Told:
    """What the callers of one user were told."""

    charged: int = 0
    unsure: int = 0
    """Of charges that were refused in the end, after an answer that left open what became of them."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[Allotment]:
    client = Allotment.connect(service.ray_address, timeout_seconds=60)
    yield client
    client.close()
    ray.shutdown()


def give(http: httpx.Client, user: str) -> None:
    for number in range(2):
        payment = PAYMENT | {"transaction_id": f"t-{user}-{number}"}
        body = {"user_id": user, "amount": 3_000_000, "days": 30, "payment": payment}
        answer = http.post(
            "/subscription/credits", json=body, headers=key(f"credit {user} {number}")
        )
        assert answer.status_code == 201, answer.text
    for number in range(3):
        hold = {"user_id": user, "credit_amount": 5, "session_id": user, "details": {"who": user}}
        answer = http.post("/subscription/holds", json=hold, headers=key(f"hold {user} {number}"))
        assert answer.status_code == 201, answer.text


def key(text: str) -> dict[str, str]:
    return {"Idempotency-Key": text}


async def charge_on(http: httpx.AsyncClient, user: str, caller: int, told: Told) -> None:
    """Charge until the test has seen enough, or the user has nothing left to spend."""
    number = 0
    while not told.ended.is_set():
        number += 1
        amount = 1 + (caller + number) % 3
        body = {"user_id": user, "service_type": "chat", "credit_amount": amount}
        body |= {"session_id": f"of {user}", "details": {"who": user, "n": number}}
        is_unsure = False
        while True:
            headers = key(f"{user} {caller} {number}")
            answer = await http.post("/subscription/usage", json=body, headers=headers)
            if answer.status_code not in AGAIN:
                break
            is_unsure = True
            await asyncio.sleep(0.02)
        if answer.status_code == 201:
            told.charged += amount
        else:
            assert answer.json()["code"] == "no_active_subscription", answer.text
            told.unsure += amount * is_unsure
            return


async def anonymize(http: httpx.AsyncClient, user: str, text: str) -> dict[str, Any]:
    while True:
        answer = await http.request(
            "DELETE", f"/users/{user}", json={"mode": "anonymize"}, headers=key(text)
        )
        if answer.status_code == 200:
            report: dict[str, Any] = answer.json()
            return report
        assert answer.status_code in AGAIN, answer.text
        await asyncio.sleep(0.1)


def anonymized(client: Allotment, user: str) -> AnonymizationReport | None:
    """Return the report of a user who is made anonymous; None: it goes on."""
    try:
        return client.anonymize(user, key="k-2")
    except GoesOnError:
        return None


async def leave_under_load(service: RunningService, told: dict[str, Told]) -> dict[str, Any]:
    """Charge both users over many connections, and make one of them anonymous amid it."""
    limits = httpx.Limits(max_connections=CONNECTIONS + 4)
    headers = {"Authorization": f"Bearer {service.key}"}
    async with httpx.AsyncClient(
        base_url=service.address, headers=headers, timeout=PATIENCE_SECONDS, limits=limits
    ) as http:
        users = [LEAVING, STAYING] * (CONNECTIONS // 2)
        callers = [
            asyncio.create_task(charge_on(http, user, n, told[user]))
            for n, user in enumerate(users)
        ]
        while told[LEAVING].charged < CHARGES_BEFORE:
            await asyncio.sleep(0.05)
        leaving = asyncio.create_task(anonymize(http, LEAVING, "k-1"))
        while not (await http.get("/admin/anonymizations")).json():
            await asyncio.sleep(0.01)
        for row in (await http.get("/admin/shards")).json():
            os.kill(row["pid"], signal.SIGKILL)
        report = await leaving
        for one in told.values():
            one.ended.set()
        await asyncio.gather(*callers)
        return report


def books_of(service: RunningService, user: str) -> dict[str, int]:
    with service.mongo() as mongo:
        days = list(mongo.allotment.dailycredits.find({"user_id": user}))
        usages = list(mongo.allotment.usages.find({"user_id": user}))
    return {
        "used": sum(day["credits_used"] for day in days),
        "held": sum(day["credits_held"] for day in days),
        "charged": sum(usage["credit_amount"] for usage in usages),
        "with details": sum(usage["details"] is not None for usage in usages),
        "with session": sum(usage["session_id"] is not None for usage in usages),
    }


def test_no_trace_is_left_and_no_sum_changes_though_shards_are_killed(
    service: RunningService, http: httpx.Client, client: Allotment
) -> None:
    for user in (LEAVING, STAYING):
        give(http, user)
    told = {LEAVING: Told(), STAYING: Told()}

    report = asyncio.run(leave_under_load(service, told))
    while (late := anonymized(client, LEAVING)) is None:
        pass  # What was refused of the one who came after.

    anonymous = str(report["anonymous_id"])
    left, stayed = told[LEAVING], told[STAYING]
    books = books_of(service, anonymous)
    assert books["used"] == books["charged"]
    assert left.charged <= books["charged"] <= left.charged + left.unsure
    assert (books["held"], books["with details"], books["with session"]) == (15, 0, 0)
    assert report["documents"]["usages"] > 0
    assert late.documents.keys() <= {"allotment_journal"}
    with service.mongo() as mongo:
        assert traces(mongo.allotment, LEAVING) == []
    shown = http.get("/subscription/status", params={"user_id": anonymous}).json()
    assert (shown["total_credits"], shown["credits_held"]) == (6_000_000, 15)
    assert shown["credits_used"] == books["used"]
    assert http.get("/subscription/status", params={"user_id": LEAVING}).json()["status"] == "none"
    wait_until(lambda: books_of(service, STAYING)["used"] == stayed.charged, PATIENCE_SECONDS)
    swept = http.post("/admin/validate", json={"repair": False}).json()
    assert anonymous not in swept["users"]
    assert (swept["drift"], swept["invariants_broken"]) == (0.0, 0)


def test_the_command_follows_it_and_says_what_was_renamed(
    service: RunningService, http: httpx.Client
) -> None:
    give(http, "commanded-user-2c")

    done = service.command("anonymize", "commanded-user-2c")
    again = service.command("anonymize", "commanded-user-2c")

    assert done.returncode == 0, done.stderr
    assert "allotment_journal\t5" in done.stdout
    assert "the user is anon-" in done.stdout
    assert again.stdout == "nothing names this user\n"
