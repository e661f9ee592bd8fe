"""How fast the console's pages are with many users: `python -m tests.service.console_speed --users 200000 --records 2000000`.

Users and records are put into the embedded database directly, before the service starts anew beside them; then
the pages are looked at through the console, again and again. It prints the median of each, in ms.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from bson import Int64, ObjectId

from actors.console.app import build_app
from actors.console.guard import Place
from bench.documents import subscription_document
from bench.users import user_id
from tests.service.requests import add_credits, charge
from tests.service.running import RunningService, wait_until

DOCUMENTS_PER_INSERT = 5_000
HOME = "http://127.0.0.1:8001"
OURS = {"revision": Int64(1)}  # So the service's own writes look: it need not reload their users.
LOOKED_AT = "console-speed"  # A user with a journal of its own.
MEDIAN_MS_MAX = 500.0
FILL_SECONDS_MAX = 600.0  # How long a start may take to have all users in RAM.


def pages(user: str) -> dict[str, str]:
    """Return the addresses of pages by their names."""
    lists = ("subscriptions", "refusals", "events", "endpoints", "sweeps", "shards")
    return {
        "overview": "/",
        **{name: f"/{name}" for name in (*lists, "prices", "keys", "audit")},
        "active users": "/subscriptions?status=active",
        "users with the least left": "/subscriptions/left",
        "a user": f"/user?id={LOOKED_AT}",
        "a user with records alone": f"/user?id={user}",
        "adjust": f"/user/adjust?id={LOOKED_AT}",
    }


def records(users: int, count: int, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield records of the last 30 days, of all users in turn."""
    for number in range(count):
        yield OURS | {
            "_id": ObjectId(),
            "user_id": ObjectId(user_id(number % users)),
            "service_type": ("chat", "search", "images")[number % 3],
            "model_used": f"model-{number % 5}",
            "credit_amount": Int64(number % 50),
            "token_count": Int64(1000),
            "timestamp": now - timedelta(days=30) * (number / count),
        }


def seed(database: Any, users: int, count: int, now: datetime) -> None:
    """Put users and records into a database."""
    subscriptions = (subscription_document(index, now) | OURS for index in range(users))
    _insert(database.subscriptions, subscriptions)
    _insert(database.usages, records(users, count, now))


def _insert(collection: Any, documents: Iterator[dict[str, Any]]) -> None:
    part: list[dict[str, Any]] = []
    for document in documents:
        part.append(document)
        if len(part) == DOCUMENTS_PER_INSERT:
            collection.insert_many(part, ordered=False)
            part = []
    if part:
        collection.insert_many(part, ordered=False)


async def looks(service: RunningService, rounds: int, user: str) -> dict[str, float]:
    """Return the median of each page, in ms."""
    app = build_app(service.address, Place.of("127.0.0.1", 8001, None))
    transport = httpx.ASGITransport(app)
    medians = {}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=HOME, headers={"Origin": HOME}) as browser,
    ):
        await browser.post("/sign-in", data={"key": service.key})
        for name, path in pages(user).items():
            took = [await _took(browser, path) for _ in range(rounds)]
            medians[name] = statistics.median(took)
    return medians


async def _took(browser: httpx.AsyncClient, path: str) -> float:
    begun = time.perf_counter()
    answer = await browser.get(path)
    assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return (time.perf_counter() - begun) * 1000


def measure(folder: Path, users: int, count: int, rounds: int) -> dict[str, float]:
    """Fill a service's database, and return the median of each page, in ms."""
    with RunningService(folder) as service:
        begun = time.monotonic()
        with service.mongo() as client:
            seed(client.get_database("allotment"), users, count, datetime.now(UTC))
        sys.stdout.write(f"{users} users, {count} records in {time.monotonic() - begun:.0f} s\n")
        service.stop()
        service.start()
        with service.client() as http:
            wait_until(lambda: in_ram(http) >= users, FILL_SECONDS_MAX)
            add_credits(http, LOOKED_AT)
            for number in range(60):
                charge(http, LOOKED_AT, 1 if number % 2 else 999, f"speed-{number}")
            begun = time.monotonic()
            wait_until(lambda: is_whole(http), FILL_SECONDS_MAX)
        sys.stdout.write(f"all users were looked at in {time.monotonic() - begun:.1f} s\n")
        return asyncio.run(looks(service, rounds, user_id(0)))


def in_ram(http: httpx.Client) -> int:
    """Return how many users are in RAM."""
    return sum(one["users"] for one in http.get("/admin/shards").json())


def is_whole(http: httpx.Client) -> bool:
    """Say whether every user in RAM was looked at for who has the least left."""
    ranked = http.get("/admin/users", params={"limit": 1}).json()
    return bool(ranked["looked_at"] == ranked["users"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--records", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=11)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="allotment-") as folder:
        medians = measure(Path(folder), asked.users, asked.records, asked.rounds)
    for name, median in medians.items():
        sys.stdout.write(f"{name:28} {median:8.1f} ms\n")
    slow = [name for name, median in medians.items() if median > MEDIAN_MS_MAX]
    sys.stdout.write(f"over {MEDIAN_MS_MAX:.0f} ms: {', '.join(slow) or 'none'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
