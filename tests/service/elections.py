"""`python -m tests.service.elections`: a service on a replica set whose primary changes all the time.

Callers charge through it, each repeating a charge with its key until it is acknowledged. A majority
stalls twice; what was written during the second stall is rolled back. At the end the database is
held to what was acknowledged.
"""

import argparse
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from actors.embedded_mongo import EmbeddedMongo
from actors.mongo.connection import MongoWire
from bench.progress import begin
from tests.actors.embedding import client_of
from tests.patience import PATIENCE_SECONDS
from tests.service.running import RunningService
from tests.service.test_first_day import add_credits
from tests.wire.replica_set import ReplicaSet

ELECTION_EVERY_SECONDS = 10.0
NO_PRIMARY_SECONDS = 3.0
STALL_SECONDS = 15.0


@dataclass
class Seen:
    """What callers saw."""

    answers: Counter[int] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    unacknowledged: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, status: int, seconds: float) -> None:
        with self.lock:
            self.answers[status] += 1
            self.longest = max(self.longest, seconds)


def charge_until(end: threading.Event, service: RunningService, user: str, seen: Seen) -> None:
    """Charge a user one credit at a time, each until it is acknowledged."""
    headers = {"Authorization": f"Bearer {service.key}"}
    body = {
        "user_id": user,
        "service_type": "chat",
        "credit_amount": 1,
        "on_insufficient": "record",
    }
    with httpx.Client(base_url=service.address, headers=headers, timeout=30.0) as http:
        number = 0
        while not end.is_set():
            number += 1
            key = {"Idempotency-Key": f"charge-{number}"}
            deadline = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < deadline:
                asked = time.monotonic()
                try:
                    status = http.post("/subscription/usage", json=body, headers=key).status_code
                except httpx.TransportError:
                    status = 0
                seen.note(status, time.monotonic() - asked)
                if status == 201:
                    seen.acknowledged[user] += 1
                    break
                end.wait(0.5)
            else:
                seen.unacknowledged += 1
                return


def make_trouble(members: ReplicaSet, seconds: float, *, stalls: int) -> int:
    """Change the primary for so long, and stall a majority meanwhile. Returns the elections."""
    began, elections, stalled = time.monotonic(), 0, 0
    pause, console = threading.Event(), Console(stderr=True)
    while (passed := time.monotonic() - began) < seconds:
        if passed > (stalled + 1) * seconds / (stalls + 1) and stalled < stalls:
            stalled += 1
            with members.stalled(lost=stalled == stalls):
                pause.wait(STALL_SECONDS)
        pause.wait(ELECTION_EVERY_SECONDS - NO_PRIMARY_SECONDS)
        elections += 1
        members.elect_later(elections % 2, NO_PRIMARY_SECONDS).join()
        begin(console, f"{passed:.0f} of {seconds:.0f} seconds, {elections} elections")
    return elections


def charge_meanwhile(
    service: RunningService, members: ReplicaSet, seen: Seen, options: argparse.Namespace
) -> tuple[int, dict[str, Any]]:
    """Return how many elections there were, and what the sweep found after them."""
    users = [f"user-{number}" for number in range(options.callers)]
    headers = {"Authorization": f"Bearer {service.key}"}
    end = threading.Event()
    with httpx.Client(base_url=service.address, headers=headers, timeout=PATIENCE_SECONDS) as http:
        for user in users:
            add_credits(http, user)
        threads = [
            threading.Thread(target=charge_until, args=(end, service, user, seen)) for user in users
        ]
        for thread in threads:
            thread.start()
        elections = make_trouble(members, options.seconds, stalls=options.stalls)
        end.set()
        for thread in threads:
            thread.join()
        return elections, http.post("/admin/validate", json={"repair": False}).json()


def run(directory: Path, options: argparse.Namespace) -> int:
    seen = Seen()
    with EmbeddedMongo(directory / "mongo", wire=MongoWire()) as mongo:
        members = ReplicaSet(mongo.uri)
        service = RunningService(directory, ALLOTMENT_MONGO_URI=members.uri, ALLOTMENT_SHARDS="2")
        try:
            elections, found = charge_meanwhile(service.start(), members, seen, options)
        finally:
            service.stop()
            members.close()
        with client_of(mongo.uri) as client:
            usages = client.allotment.usages.find({}, ["user_id"])
            charged = Counter(str(usage["user_id"]) for usage in usages)
    lost = sum((seen.acknowledged - charged).values())
    doubled = sum((charged - seen.acknowledged).values())
    print(f"{elections} elections, {options.stalls} stalls; answers: {dict(seen.answers)}")
    print(f"longest answer {seen.longest:.1f} s; lost {lost}, doubled {doubled}")
    print(f"never acknowledged {seen.unacknowledged}; drift {found['drift']}: {found}")
    return 1 if lost or doubled or found["drift"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.service.elections")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--stalls", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="elections-") as directory:
        return run(Path(directory), options)


if __name__ == "__main__":
    raise SystemExit(main())
