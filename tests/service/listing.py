"""What one caller's lists and refused charges do to everybody else, against a service of its own.

`python -m tests.service.listing --seconds 30` prints a row for each: the p50 and p99 of 50 charges a
second of other users, alone, beside 64 connections that list one user's 4,000 records 1,000 at
a time, and beside 64 connections of charges that 12 grants of ten years do not cover. Load and
attackers are processes of their own.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import httpx

from tests.service.running import RunningService

CONNECTIONS = 64
NORMAL_A_SECOND = 50
NORMAL_USERS = 100
RECORDS, RECORD_BYTES = 4_000, 800
GRANTS, DAYS = 12, 3_660
WARM_SECONDS = 5.0
LISTER, SPENDER = "lister", "spender"

Send = Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]


def payment_for(user_id: str, number: int, amount: int, days: int) -> dict[str, object]:
    payment = {"method": "card", "transaction_id": f"t-{number}", "amount": 1, "currency": "eur"}
    return {"user_id": user_id, "amount": amount, "days": days, "payment": payment}


def charge(user_id: str, amount: int, **more: object) -> dict[str, object]:
    return {"user_id": user_id, "service_type": "chat", "credit_amount": amount} | more


def prepare(client: httpx.Client) -> None:
    """Give everybody what they need."""
    for number in range(NORMAL_USERS):
        client.post("/subscription/credits", json=payment_for(f"user-{number}", 0, 10**9, 30))
    client.post("/subscription/credits", json=payment_for(LISTER, 0, 10**9, 30))
    for number in range(GRANTS):
        client.post("/subscription/credits", json=payment_for(SPENDER, number, DAYS, DAYS))
    details = {"text": "x" * (RECORD_BYTES - 300)}
    for _ in range(RECORDS // 100):
        records = [charge(LISTER, 1, details=details) for _ in range(100)]
        client.post("/subscription/usage/batch", json={"records": records}).raise_for_status()


async def charge_anybody(client: httpx.AsyncClient, number: int) -> httpx.Response:
    body = charge(f"user-{number % NORMAL_USERS}", 1)
    return await client.post("/subscription/usage", json=body)


async def list_records(client: httpx.AsyncClient, _: int) -> httpx.Response:
    return await client.get("/subscription/usage", params={"user_id": LISTER, "limit": 1000})


async def charge_too_much(client: httpx.AsyncClient, _: int) -> httpx.Response:
    return await client.post("/subscription/usage", json=charge(SPENDER, 2**52))


def normal_load(url: str, key: str, seconds: float) -> list[float]:
    """Charge so often, whatever the answers take; return how long they took, in ms."""

    async def run() -> list[float]:
        taken: list[float] = []
        async with client_of(url, key) as client:

            async def one(number: int) -> None:
                started = time.perf_counter()
                answer = await charge_anybody(client, number)
                assert answer.status_code in (201, 503), answer.text
                taken.append((time.perf_counter() - started) * 1000)

            async with asyncio.TaskGroup() as group:
                for number in range(int(seconds * NORMAL_A_SECOND)):
                    group.create_task(one(number))
                    await asyncio.sleep(1 / NORMAL_A_SECOND)
        return taken

    return asyncio.run(run())


def attack(url: str, key: str, seconds: float, kind: str) -> int:
    """Send as much as so many connections can; return how many answers were 5xx but 503."""
    send = list_records if kind == "lists" else charge_too_much

    async def run() -> int:
        failures, until = 0, time.monotonic() + seconds
        async with client_of(url, key) as client:

            async def one(number: int) -> None:
                nonlocal failures
                while time.monotonic() < until:
                    status = (await send(client, number)).status_code
                    failures += status >= 500 and status != 503

            async with asyncio.TaskGroup() as group:
                for number in range(CONNECTIONS):
                    group.create_task(one(number))
        return failures

    return asyncio.run(run())


def client_of(url: str, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
        limits=httpx.Limits(max_connections=CONNECTIONS),
    )


def row(name: str, taken: list[float], failures: int = 0) -> str:
    cuts = statistics.quantiles(taken, n=100)
    return f"{name}: p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, {failures} answers 5xx"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, RunningService(Path(folder)) as service:
        with service.client() as client:
            prepare(client)
            url = str(client.base_url)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            normal_load(url, service.key, WARM_SECONDS)
            print(row("alone", pool.submit(normal_load, url, service.key, seconds).result()))
            for kind in ("lists", "refused charges"):
                attacking = pool.submit(attack, url, service.key, seconds, kind)
                taken = pool.submit(normal_load, url, service.key, seconds).result()
                print(row(f"beside {kind}", taken, attacking.result()), flush=True)


if __name__ == "__main__":
    main()
