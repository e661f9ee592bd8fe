"""Another program's edits beside usage: how fast users see them, and what a crash costs.

`python -m tests.service.foreign_edits` runs a service of its own and prints one JSON line each:
* latency: documents in the Mongoose shape, from their write to the right status, beside usage;
* chaos: edits and charges while the synchronisation, the database and a shard are killed;
* lost: the stored position made unusable.
After the last two, what every user is shown must be what MongoDB holds.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
from bson import ObjectId
from pymongo.errors import DuplicateKeyError, PyMongoError
from rich.console import Console

from actors.mongo.accounts.store import MongoStore
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from bench.progress import track
from domain.api.render import status_answer
from domain.documents.recovery import recover
from domain.values import Policy, UserId
from tests.patience import PATIENCE_SECONDS
from tests.service.load import CONNECTIONS, open_client, user_name
from tests.service.load import make_users as make_load_users
from tests.service.mongoose import subscription_document, today
from tests.service.processes import actor_pid, actor_pids, database_pid
from tests.service.running import RunningService, wait_until
from tests.stopping import stop_process

WRITERS = 8  # Documents under way at once in the run for latency.
POLL_SECONDS = 0.02  # Between two looks at a status.
SETTLES_SECONDS_MAX = PATIENCE_SECONDS
BEGINS_SECONDS_MAX = PATIENCE_SECONDS


@dataclass
class Charges:
    """What clients were told of their charges."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    repeats: int = 0


@dataclass(frozen=True)
class Place:
    """Where a service answers, and the key it wants."""

    address: str
    key: str


# --- usage beside the edits -----------------------------------------------------------------


async def charge_until(place: Place, users: list[str], ended: Path, seed: int) -> Charges:
    """Charge random users over 64 connections, each charge repeated until it has its answer."""
    charges, dice = Charges(), random.Random(seed)

    async def worker(client: httpx.AsyncClient, name: int) -> None:
        number = 0
        while not ended.exists():  # noqa: ASYNC240 - one stat of a local file
            body = {
                "user_id": dice.choice(users),
                "service_type": "chat",
                "credit_amount": dice.randrange(3),
            }
            await charge(client, body, f"{seed}-{name}-{number}", charges)
            number += 1
            begun.touch()

    begun = ended.with_suffix(".begun")
    async with open_client(place) as client, asyncio.TaskGroup() as group:
        for name in range(CONNECTIONS):
            group.create_task(worker(client, name))
    return charges


async def charge(
    client: httpx.AsyncClient, body: dict[str, Any], key: str, charges: Charges
) -> None:
    while True:
        try:
            headers = {"Idempotency-Key": key}
            answer = await client.post("/subscription/usage", json=body, headers=headers)
        except httpx.TransportError:
            charges.repeats += 1
            continue
        if answer.status_code < 500:
            break
        charges.repeats += 1
        await asyncio.sleep(0.05)
    if answer.status_code == 201:
        charges.acknowledged[answer.json()["usage_id"]] = answer.json()["credit_amount"]
    else:
        assert answer.status_code == 402, answer.text
        charges.refused += 1


class Usage:
    """Charges by a process of its own, as long as the block."""

    def __init__(self, service: RunningService, users: list[str], seed: int) -> None:
        self.charges = Charges()
        self._place = Place(service.address, service.key)
        self._users = users
        self._seed = seed
        self._ended = service.data_dir / f"usage-{seed}-{users[0]}.ended"
        self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def __enter__(self) -> Self:
        self._ended.unlink(missing_ok=True)
        arguments = (self._place, self._users, self._ended, self._seed)
        self._running = self._process.submit(charge_in_this_process, *arguments)
        wait_until(self._ended.with_suffix(".begun").exists, BEGINS_SECONDS_MAX)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.touch()
        self.charges = self._running.result()
        self._process.shutdown()


def charge_in_this_process(place: Place, users: list[str], ended: Path, seed: int) -> Charges:
    return asyncio.run(charge_until(place, users, ended, seed))


# --- latency --------------------------------------------------------------------------------


def latencies(service: RunningService, documents: int) -> list[float]:
    """Return seconds from each write to the first right status, of users known to be absent."""
    seconds: list[float] = []
    numbers = iter(range(documents))

    def writer() -> None:
        with service.mongo() as mongo, service.client() as http:
            while next(numbers, None) is not None:
                user = ObjectId()
                assert shown(http, str(user))["status"] == "none"
                mongo.allotment.subscriptions.insert_one(subscription_document(user))
                written = time.monotonic()
                while shown(http, str(user))["remaining_credits"] != 90:
                    assert time.monotonic() < written + 30, "never right"
                    time.sleep(POLL_SECONDS)
                seconds.append(time.monotonic() - written)

    threads = [threading.Thread(target=writer) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seconds) == documents
    return sorted(seconds)


def shown(http: httpx.Client, user: str) -> dict[str, Any]:
    answer = http.get("/subscription/status", params={"user_id": user})
    return dict(answer.json()) if answer.status_code == 200 else {"status": None} | NOTHING


NOTHING = {"remaining_credits": None}


def run_latency(service: RunningService, documents: int, users: int, seed: int) -> dict[str, Any]:
    asyncio.run(make_load_users(service, users))
    with Usage(service, [user_name(n) for n in range(users)], seed) as usage:
        started = time.monotonic()
        seconds = latencies(service, documents)
        elapsed = time.monotonic() - started
    return {
        "run": "latency",
        "documents": documents,
        "p50_ms": round(seconds[len(seconds) // 2] * 1000, 1),
        "p99_ms": round(seconds[int(len(seconds) * 0.99)] * 1000, 1),
        "longest_ms": round(seconds[-1] * 1000, 1),
        "usage_per_second": round(len(usage.charges.acknowledged) / elapsed),
    }


# --- chaos ----------------------------------------------------------------------------------


class Editor:
    """Edits documents at random, each edit repeated until the database has taken it."""

    def __init__(self, database: Documents, users: list[str], seed: int) -> None:
        self._database = database
        self._users = users
        self._dice = random.Random(seed)

    def begin(self) -> None:
        """Give every user a subscription."""
        documents = [self._subscription(user) for user in self._users]
        self._database.subscriptions.insert_many(documents)

    def edit(self) -> None:
        """Change one user's documents."""
        user = self._dice.choice(self._users)
        subscription_id = self._subscription(user)["_id"]
        kind = self._dice.choice(["spendable", "status", "end", "used", "day", "delete", "replace"])
        self._until_taken(lambda: getattr(self, f"_{kind}")(user, subscription_id))

    def _until_taken(self, write: Callable[[], object]) -> None:
        while True:
            try:
                write()
            except DuplicateKeyError:
                return
            except PyMongoError:
                time.sleep(0.1)
            else:
                return

    def _subscription(self, user: str) -> dict[str, Any]:
        return subscription_document(ObjectId(user), _id=ObjectId(user[::-1]))

    def _set(self, subscription_id: ObjectId, **fields: Any) -> None:
        self._database.subscriptions.update_one({"_id": subscription_id}, {"$set": fields})

    def _spendable(self, _: str, subscription_id: ObjectId) -> None:
        self._set(subscription_id, spendable_credits=30.0 * self._dice.randrange(30, 300))

    def _status(self, _: str, subscription_id: ObjectId) -> None:
        words = ["active", "past_due", "paused", "cancelled", "expired", "strange"]
        self._set(subscription_id, status=self._dice.choice(words))

    def _end(self, _: str, subscription_id: ObjectId) -> None:
        days = self._dice.randrange(10, 60)
        self._set(subscription_id, end_date=today() + timedelta(days=days))

    def _used(self, _: str, subscription_id: ObjectId) -> None:
        used = {"$set": {"credits_used": float(self._dice.randrange(50))}}
        self._database.dailycredits.update_many({"subscription_id": subscription_id}, used)

    def _day(self, _: str, subscription_id: ObjectId) -> None:
        self._database.dailycredits.delete_many({"subscription_id": subscription_id})

    def _delete(self, user: str, subscription_id: ObjectId) -> None:
        self._database.subscriptions.delete_one({"_id": subscription_id})
        if self._dice.random() < 0.8:
            self._until_taken(
                lambda: self._database.subscriptions.insert_one(self._subscription(user))
            )

    def _replace(self, user: str, subscription_id: ObjectId) -> None:
        document = self._subscription(user) | {"replaced": self._dice.random()}
        self._database.subscriptions.replace_one({"_id": subscription_id}, document)


def run_chaos(
    service: RunningService, users: list[str], edits: int, stopped: float, seed: int
) -> dict[str, Any]:
    """Edit and charge while processes are killed, and the database is stopped for so long."""
    database = connect(service.mongo_uri, "allotment")
    editor = Editor(database, users, seed)
    editor.begin()
    faults = {
        edits // 5: lambda: kill_sync(service),
        edits * 2 // 5: lambda: stop_database(service, stopped),
        edits * 3 // 5: lambda: kill(shard_pid(service)),
        edits * 4 // 5: lambda: kill_sync(service),
    }
    started = time.monotonic()
    with Usage(service, users, seed) as usage:
        for number in range(edits):
            if number in faults:
                faults[number]()
            editor.edit()
    elapsed = time.monotonic() - started
    return {
        "run": "chaos",
        "seed": seed,
        "edits": edits,
        "seconds": round(elapsed),
        "charges": len(usage.charges.acknowledged),
        "repeats": usage.charges.repeats,
        **compare(service, database, users),
        "charges_lost": len(lost_charges(database, usage.charges)),
        "sync": sync_of(service),
    }


def run_lost(service: RunningService, users: list[str], edits: int, seed: int) -> dict[str, Any]:
    """Make the stored position unusable while the synchronisation is not there, and edit."""
    database = connect(service.mongo_uri, "allotment")
    editor = Editor(database, users, seed)
    broken = {"$set": {"token": {"_data": "no position"}}}
    before = actor_pid(service, "SyncActor")
    stop_process(before)  # It cannot mend what is broken.
    database.allotment_sync_state.update_one({"_id": "position"}, broken)
    for _ in range(edits):
        editor.edit()
    kill(before)
    wait_until(lambda: sync_of(service).get("resyncs", 0) > 0, SETTLES_SECONDS_MAX)
    return {
        "run": "lost",
        "edits": edits,
        **compare(service, database, users),
        "sync": sync_of(service),
    }


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # The supervisor may have been faster.
        os.kill(pid, signal.SIGKILL)


def kill_sync(service: RunningService) -> None:
    """Kill the synchronisation as soon as there is one."""
    wait_until(lambda: bool(actor_pids(service, "SyncActor")), SETTLES_SECONDS_MAX)
    kill(actor_pid(service, "SyncActor"))


def stop_database(service: RunningService, seconds: float) -> None:
    """Stop the database now and let it go on later, while edits and charges wait."""
    pid = database_pid(service)
    stop_process(pid)
    later = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
    later.start()


def shard_pid(service: RunningService) -> int:
    with service.client() as http:
        wait_until(lambda: http.get("/admin/shards").status_code == 200, SETTLES_SECONDS_MAX)
        return int(http.get("/admin/shards").json()[0]["pid"])


def sync_of(service: RunningService) -> dict[str, Any]:
    with service.client() as http:
        answer = http.get("/admin/sync")
        return dict(answer.json()) if answer.status_code == 200 else {}


# --- the comparison -------------------------------------------------------------------------


def compare(service: RunningService, database: Documents, users: list[str]) -> dict[str, Any]:
    """Return how many users are shown something else than MongoDB holds, once news have come.

    Nothing changes any more, so this may be waited for; what stays different is wrong. Then two
    sweeps look at every field of every account, and no sweep so far may have mended anything.
    """
    with service.client() as http:
        wait_until(lambda: http.get("/readyz").status_code == 200, SETTLES_SECONDS_MAX)
        for user in users:  # A query waits until the user's views are written.
            http.get(f"/subscriptions/{user}").raise_for_status()
        differing = list(users)
        deadline = time.monotonic() + 10
        while differing and time.monotonic() < deadline:
            differing = [user for user in differing if not is_equal(http, database, user)]
        http.timeout = SETTLES_SECONDS_MAX
        drifts = [
            http.post("/admin/validate", json={"repair": False}).raise_for_status().json()["drift"]
            for _ in range(2)
        ]
        mended = sum(sweep["repaired"] for sweep in http.get("/admin/sweeps").json())
    return {
        "compared": len(users),
        "differing": len(differing),
        "drifts": drifts,
        "mended_by_sweeps": mended,
    }


def is_equal(http: httpx.Client, database: Documents, user: str) -> bool:
    in_ram = shown(http, user)
    now = datetime.now(UTC)
    (stored,) = MongoStore(database).load([UserId(user)], now)
    account = recover(stored, now, Policy()).account
    in_mongodb = status_answer(account, now, Policy()).model_dump(mode="json")
    return {**in_ram, "as_of": None} == {**in_mongodb, "as_of": None}


def lost_charges(database: Documents, charges: Charges) -> set[str]:
    found = {str(record["_id"]): record for record in database.usages.find()}
    return {
        usage_id
        for usage_id, amount in charges.acknowledged.items()
        if usage_id not in found or found[usage_id]["credit_amount"] != amount
    }


def main() -> int:
    """Run all three and print what came out; return 1 where RAM and MongoDB differ."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--documents", type=int, default=1000)
    options.add_argument("--edits", type=int, default=5000)
    options.add_argument("--users", type=int, default=500)
    options.add_argument(
        "--stopped", type=float, default=20.0, help="seconds for which the database is stopped"
    )
    options.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningService(Path(folder), ALLOTMENT_SHARDS="2") as service,
    ):
        users = [f"{number:024x}"[::-1] for number in range(1, chosen.users + 1)]
        runs: dict[str, Callable[[], dict[str, Any]]] = {
            "latency": lambda: run_latency(service, chosen.documents, chosen.users, chosen.seed),
            "chaos": lambda: run_chaos(service, users, chosen.edits, chosen.stopped, chosen.seed),
            "lost": lambda: run_lost(service, users, chosen.edits // 10, chosen.seed),
        }
        code = 0
        for name in track(Console(stderr=True), list(runs), str):
            found = runs[name]()
            print(json.dumps(found), flush=True)
            code |= any(found.get(wrong) for wrong in ("differing", "charges_lost"))
    return code


if __name__ == "__main__":
    sys.exit(main())
