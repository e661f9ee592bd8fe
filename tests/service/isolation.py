"""What one user's calls do to everybody else, against a service of its own.

`python -m tests.service.isolation --seconds 30` prints a row for each: the p50 and p99 of 50 charges a
second of other users, alone, beside 64 connections that list one user's 4,000 records 1,000 at a
time, beside 64 of charges that 12 grants of ten years do not cover, beside 64 that repeat a key whose
entry somebody has spoilt, beside one user who opens 500 event streams, and beside 4,000 connections that show
no key and ask for nothing, from another address. Load and attackers are processes of their own. A row says, too, how many of
these streams and connections were open at most.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt

from tests.service.running import RunningService

CONNECTIONS = 64
NORMAL_A_SECOND = 50
NORMAL_USERS = 100
RECORDS, RECORD_BYTES = 4_000, 800
GRANTS, DAYS = 12, 3_660
WARM_SECONDS = 5.0
LISTER, SPENDER, BROKEN = "lister", "spender", "broken"
KEY = {"Idempotency-Key": "k"}
SECRET = "the secret of the users' tokens, long enough"
STREAMS, IDLE = 500, 4_000
ANOTHER_SOURCE = "127.0.0.2"  # From where those connect that ask for nothing.
SETTLE_SECONDS = 1.0  # How long what is refused may take to be so.
ASK_AGAIN_SECONDS = 2.0  # A refused stream, or a connection that was closed, is asked for again.

Send = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


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
    client.post("/subscription/credits", json=payment_for(BROKEN, 0, 10**9, 30))
    client.post("/subscription/usage", json=charge(BROKEN, 1), headers=KEY).raise_for_status()
    for number in range(GRANTS):
        client.post("/subscription/credits", json=payment_for(SPENDER, number, DAYS, DAYS))
    details = {"text": "x" * (RECORD_BYTES - 300)}
    for _ in range(RECORDS // 100):
        records = [charge(LISTER, 1, details=details) for _ in range(100)]
        client.post("/subscription/usage/batch", json={"records": records}).raise_for_status()


async def charge_anybody(client: httpx.AsyncClient, number: int) -> httpx.Response:
    body = charge(f"user-{number % NORMAL_USERS}", 1)
    return await client.post("/subscription/usage", json=body)


async def list_records(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get("/subscription/usage", params={"user_id": LISTER, "limit": 1000})


async def charge_too_much(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/subscription/usage", json=charge(SPENDER, 2**52))


async def repeat_what_is_spoilt(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/subscription/usage", json=charge(BROKEN, 1), headers=KEY)


ATTACKS: dict[str, Send] = {
    "lists": list_records,
    "refused charges": charge_too_much,
    "a spoilt entry": repeat_what_is_spoilt,
}


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
    send = ATTACKS[kind]

    async def run() -> int:
        failures, until = 0, time.monotonic() + seconds
        async with client_of(url, key) as client:

            async def one() -> None:
                nonlocal failures
                while time.monotonic() < until:
                    status = (await send(client)).status_code
                    failures += status >= 500 and status != 503

            async with asyncio.TaskGroup() as group:
                for _ in range(CONNECTIONS):
                    group.create_task(one())
        return failures

    return asyncio.run(run())


def open_streams(url: str, seconds: float) -> int:
    """Have one user ask for so many event streams; return how many were open at most."""
    until = datetime.now(UTC) + timedelta(seconds=seconds + 300)
    token = jwt.encode({"sub": LISTER, "exp": until}, SECRET, "HS256")
    open_now = most = 0

    async def run() -> None:
        async with client_of(url, token, STREAMS) as client, asyncio.timeout(seconds):

            async def one() -> None:
                nonlocal open_now, most
                while True:
                    async with client.stream("GET", "/events") as answer:
                        if answer.status_code == 200:
                            open_now += 1
                            most = max(most, open_now)
                            try:
                                async for _ in answer.aiter_raw():
                                    pass
                            finally:
                                open_now -= 1
                    await asyncio.sleep(ASK_AGAIN_SECONDS)

            async with asyncio.TaskGroup() as group:
                for _ in range(STREAMS):
                    group.create_task(one())

    with contextlib.suppress(TimeoutError):
        asyncio.run(run())
    return most


def open_idle(url: str, seconds: float) -> int:
    """Open so many connections, each again where it is closed; return how many were open at most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parts = httpx.URL(url)
    open_now = most = 0

    async def run() -> None:
        async def one() -> None:
            nonlocal open_now, most
            while True:
                with contextlib.suppress(OSError):
                    reader, writer = await asyncio.open_connection(
                        parts.host, parts.port, local_addr=(ANOTHER_SOURCE, 0)
                    )
                    with contextlib.closing(writer):
                        ended = asyncio.ensure_future(reader.read())
                        await asyncio.wait([ended], timeout=SETTLE_SECONDS)
                        if not ended.done():
                            open_now += 1
                            most = max(most, open_now)
                            await asyncio.wait([ended])
                            open_now -= 1
                        ended.exception()
                await asyncio.sleep(ASK_AGAIN_SECONDS)

        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(IDLE):
                group.create_task(one())

    with contextlib.suppress(TimeoutError):
        asyncio.run(run())
    return most


HOLDERS: dict[str, tuple[Callable[[str, float], int], int]] = {
    "event streams": (open_streams, STREAMS),
    "idle connections": (open_idle, IDLE),
}


def client_of(url: str, key: str, connections: int = CONNECTIONS) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
        limits=httpx.Limits(max_connections=connections),
    )


def spoil(service: RunningService) -> None:
    """Leave nothing of what was decided under a key, and have the shards forget its answer."""
    with service.mongo() as mongo:
        spoilt = {"$set": {"body": {}, "answer": 7}}
        mongo.allotment.allotment_journal.update_one({"command_id": f"{BROKEN} k"}, spoilt)
    assert service.command("restart").returncode == 0


def pids(service: RunningService) -> list[int]:
    with service.client() as client:
        return [row["pid"] for row in client.get("/admin/shards").json()]


def row(name: str, taken: list[float], failures: int = 0) -> str:
    cuts = statistics.quantiles(taken, n=100)
    return f"{name}: p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, {failures} answers 5xx"


def main() -> int:
    """Return the exit code: 1 where an answer was 5xx but 503, or a shard was started again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningService(Path(folder), ALLOTMENT_JWT_SECRET=SECRET) as service,
    ):
        with service.client() as client:
            prepare(client)
            spoil(service)
            url = str(client.base_url)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            normal_load(url, service.key, WARM_SECONDS)
            print(row("alone", pool.submit(normal_load, url, service.key, seconds).result()))
            before, failed = pids(service), 0
            for kind in ATTACKS:
                attacking = pool.submit(attack, url, service.key, seconds, kind)
                taken = pool.submit(normal_load, url, service.key, seconds).result()
                failures = attacking.result()
                failed += failures
                print(row(f"beside {kind}", taken, failures), flush=True)
            for kind, (hold, wanted) in HOLDERS.items():
                holding = pool.submit(hold, url, seconds)
                taken = pool.submit(normal_load, url, service.key, seconds).result()
                print(f"{row(f'beside {kind}', taken)}, {holding.result()} of {wanted} open")
            again = len(set(pids(service)) - set(before))
            print("shards that were started again:", again)
    return int(failed + again > 0)


if __name__ == "__main__":
    sys.exit(main())
