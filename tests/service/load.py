"""Random usage over many connections, and the books that must agree with it afterwards.

`python -m tests.service.load --help` runs it against a service of its own for as long as wanted,
with shards killed now and then.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx
from pymongo.database import Database

from actors.mongo.connection import connect
from actors.mongo.directory import MongoDirectory
from actors.protocol.directory import Directory
from domain.values import UserId
from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService, wait_until

CONNECTIONS = 64
REST_SECONDS_MAX = PATIENCE_SECONDS
REPEATS_MAX = 100
DAILY_LIMIT = 90


class Answered(NamedTuple):
    """One request until its last repeat: on the loop's clock, in seconds."""

    shard: int
    started: float
    seconds: float


class Kill(NamedTuple):
    """One SIGKILL of a shard's process, on the loop's clock."""

    shard: int
    at: float


@dataclass
class Sent:
    """What clients were told, when, and what was done to the shards meanwhile."""

    table: Directory
    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    repeats: int = 0
    answered: list[Answered] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)

    def outages(self) -> list[tuple[Kill, float]]:
        """Return each kill with the seconds until a request sent after it was answered."""
        return [
            (kill, min(after))
            for kill in self.kills
            if (
                after := [
                    a.started + a.seconds - kill.at
                    for a in self.answered
                    if a.shard == kill.shard and a.started >= kill.at
                ]
            )
        ]

    def seconds_of_others(self, *, during_outages: bool) -> list[float]:
        """Return what requests to shards that lived took, during the outages of others or not."""
        spans = [(kill.shard, kill.at, kill.at + seconds) for kill, seconds in self.outages()]

        def beside(a: Answered) -> bool:
            return any(a.shard != shard and start <= a.started < end for shard, start, end in spans)

        def hit(a: Answered) -> bool:
            return any(
                a.shard == shard and a.started < end and a.started + a.seconds > start
                for shard, start, end in spans
            )

        return [a.seconds for a in self.answered if not hit(a) and beside(a) is during_outages]


def user_name(number: int) -> str:
    return f"load-{number}"


async def make_users(service: RunningService, users: int) -> None:
    """Give every user a subscription of 90 credits a day."""
    payment = {"method": "card", "transaction_id": "t", "amount": 0, "currency": "eur"}

    async def worker(client: httpx.AsyncClient, first: int) -> None:
        for number in range(first, users, CONNECTIONS):
            body = {"user_id": user_name(number), "amount": 3000, "days": 30, "payment": payment}
            answer = await client.post("/subscription/credits", json=body)
            assert answer.status_code == 201, answer.text

    async with open_client(service) as client, asyncio.TaskGroup() as group:
        for first in range(CONNECTIONS):
            group.create_task(worker(client, first))


class Answering(Protocol):
    """A service, wherever it runs."""

    @property
    def address(self) -> str:
        """Where it answers."""

    @property
    def key(self) -> str:
        """The key it wants."""


def open_client(service: Answering) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=service.address,
        headers={"Authorization": f"Bearer {service.key}"},
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        timeout=30,
    )


async def charge(client: httpx.AsyncClient, body: dict[str, object], key: str, sent: Sent) -> None:
    """Send one charge until it is answered for good: always with the same key."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(REPEATS_MAX):
        try:
            headers = {"Idempotency-Key": key}
            answer = await client.post("/subscription/usage", json=body, headers=headers)
        except httpx.TransportError:
            sent.repeats += 1
            continue
        if answer.status_code < 500:
            break
        sent.repeats += 1
    else:
        raise AssertionError(f"no answer after {REPEATS_MAX} repeats")
    shard = sent.table.owner(UserId(str(body["user_id"])))
    sent.answered.append(Answered(shard, started, loop.time() - started))
    if answer.status_code == 201:
        sent.acknowledged[answer.json()["usage_id"]] = answer.json()["credit_amount"]
    else:
        assert answer.json()["code"] == "insufficient_credits", answer.text
        sent.refused += 1


async def run_load(
    service: RunningService, users: int, seconds: float, seed: int, sent: Sent
) -> None:
    """Charge random users random amounts over 64 connections."""
    dice = random.Random(seed)
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds

    async def worker(client: httpx.AsyncClient, name: int) -> None:
        number = 0
        while loop.time() < ends:
            body = {
                "user_id": user_name(dice.randrange(users)),
                "service_type": "chat",
                "credit_amount": dice.randrange(0, 40),
            }
            await charge(client, body, f"{seed}-{name}-{number}", sent)
            number += 1

    async with open_client(service) as client, asyncio.TaskGroup() as group:
        for name in range(CONNECTIONS):
            group.create_task(worker(client, name))


async def kill_shards(service: RunningService, every_seconds: float, sent: Sent) -> None:
    """SIGKILL one shard's process after the other, for ever."""
    async with open_client(service) as client:
        while True:
            await asyncio.sleep(every_seconds)
            answer = await client.get("/admin/shards")
            if answer.status_code == 200:
                rows = answer.json()
                shard = len(sent.kills) % len(rows)
                os.kill(rows[shard]["pid"], signal.SIGKILL)
                sent.kills.append(Kill(shard, asyncio.get_running_loop().time()))


async def load_with_kills(
    service: RunningService, users: int, seconds: float, seed: int, kill_every: float | None
) -> Sent:
    """Charge random users; with `kill_every`, kill a shard every so many seconds meanwhile."""
    database = connect(service.mongo_uri, "allotment")
    table = MongoDirectory(database).read()
    database.client.close()
    assert table is not None, "the service has begun with one"
    sent = Sent(table)
    killer = asyncio.create_task(kill_shards(service, kill_every, sent)) if kill_every else None
    try:
        await run_load(service, users, seconds, seed, sent)
    finally:
        if killer:
            killer.cancel()
    return sent


def audit(service: RunningService, sent: Sent) -> dict[str, int]:
    """Return the books, once the views contain every acknowledged charge.

    Raises AssertionError where a charge was lost, doubled, or went over a limit.
    """
    with service.mongo() as client:
        database = client.allotment
        wait_until(lambda: not missing(database, sent), REST_SECONDS_MAX)
        mine = {"user_id": {"$regex": "^load-"}}
        records = list(database.usages.find(mine, {"credit_amount": 1, "user_id": 1}))
        days = list(database.dailycredits.find(mine))
    over = [day for day in days if day["credits_used"] > DAILY_LIMIT]
    books = {
        "acknowledged": sum(sent.acknowledged.values()),
        "usages": sum(int(record["credit_amount"]) for record in records),
        "dailycredits": sum(int(day["credits_used"]) for day in days),
        "charges": len(sent.acknowledged),
        "records": len(records),
    }
    assert not over, f"{len(over)} users are over their limit"
    return books


def missing(database: Database[dict[str, Any]], sent: Sent) -> set[str]:
    """Return the acknowledged charges that are not in `usages`."""
    found = {str(record["_id"]) for record in database.usages.find({}, {"_id": 1})}
    return set(sent.acknowledged) - found


def percentiles(seconds: Sequence[float]) -> dict[str, int]:
    """Return the spread of durations in milliseconds, and how many there are."""
    if not seconds:
        return {"count": 0}
    ordered = sorted(seconds)
    places = {"p50": 0.5, "p99": 0.99, "longest": 1.0}
    spread = {n: ordered[int((len(ordered) - 1) * p)] for n, p in places.items()}
    return {"count": len(ordered)} | {n: round(s * 1000) for n, s in spread.items()}


def main() -> int:
    """Run the load against a service of its own and print the books; return 1 where they differ."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--users", type=int, default=20_000)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--kill-every", type=float, help="seconds between two SIGKILLs of a shard")
    options.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningService(Path(folder), ALLOTMENT_SHARDS="2") as service,
    ):
        print("seed", chosen.seed, file=sys.stderr)
        asyncio.run(make_users(service, chosen.users))
        print("users made", file=sys.stderr)
        sent = asyncio.run(
            load_with_kills(service, chosen.users, chosen.seconds, chosen.seed, chosen.kill_every)
        )
        books = audit(service, sent)
    credits_agree = len({books[k] for k in ("acknowledged", "usages", "dailycredits")}) == 1
    agree = credits_agree and books["charges"] == books["records"]
    print(
        json.dumps(
            {
                **books,
                "refused": sent.refused,
                "repeats": sent.repeats,
                "killed_answers_after": [round(seconds, 2) for _, seconds in sent.outages()],
                "others_ms": percentiles(sent.seconds_of_others(during_outages=False)),
                "others_ms_in_outages": percentiles(sent.seconds_of_others(during_outages=True)),
                "agree": agree,
            }
        )
    )
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
