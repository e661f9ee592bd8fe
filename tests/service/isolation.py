"""What one user's calls do to everybody else, against a service of its own.

`python -m tests.service.isolation --seconds 30` prints a table: how long 50 charges a second of other
users take alone, and beside each of these: 64 connections that list one user's 4,000 records 1,000 at a
time; 64 that ask for one user's status, that charge one user, and that do so in batches of a hundred; 64
of charges that 12 grants of ten years do not cover; 64 that charge a user nobody knows, each time another
one; 64 that repeat a key whose entry was spoilt by hand; 64 that give users grants with the longest texts, as many
as they take, and charge them; 64 that give them a thousand, with texts as long as they may be then; one user who
opens 500 event streams; 4,000 connections that show no key and ask for nothing, from another address;
400 of HTTP/2 that begin 100 requests each; and a clock that shows 400 days later, and then the right time.
Load and attackers are processes of their own, and attackers take only the processor time that
nobody else wants. One row is of attackers whom a sink of their own answers: they share the machine with
the service, nothing else. The exit code is 1 where an answer was 5xx but 503, a shard was started again, or
somebody has not what they had before the clock went wrong.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.service.attack import processes, stand_back
from tests.service.isolation_attacks import (
    BROKEN,
    HOLDERS,
    KEY,
    LISTER,
    SECRET,
    SENDS,
    SPENDER,
    Target,
    charge,
    client_of,
    send,
    send_elsewhere,
)
from tests.service.moved_clock import MovedClock
from tests.service.running import RunningService

NORMAL_A_SECOND = 50
NORMAL_USERS = 100
RECORDS, RECORD_BYTES = 4_000, 800
GRANTS, DAYS = 12, 3_660
WARM_SECONDS = 5.0
REST_SECONDS = 3.0  # After each part: connections end, and views are written.
AHEAD = timedelta(days=400)
ROWS = (*SENDS, *HOLDERS, "clock")
CONTEXT = multiprocessing.get_context("spawn")
HEAD = ("beside", "p50", "p99", "p99, times alone", "503", "5xx", "HAProxy", "the others got")


class Load(NamedTuple):
    """What became of the normal load."""

    milliseconds: list[float]
    charged: Counter[str]
    """Acknowledged charges of each user."""
    refused: int
    """Answers that were 503."""


@dataclass
class Table:
    """The rows that are printed, and whether nobody was harmed."""

    alone: float = 0.0
    """The p99 of the load alone, in ms."""
    rows: list[str] = field(default_factory=list)
    failures: int = 0
    """Answers 5xx but 503."""

    def add(self, name: str, load: Load, haproxy: int, answers: Counter[str]) -> None:
        """Print one more row; the first is that of the load alone."""
        cuts = statistics.quantiles(load.milliseconds, n=100)
        self.alone = self.alone or cuts[98]
        failed = sum(n for code, n in answers.items() if code[0] == "5" and code != "503")
        self.failures += failed
        told = ", ".join(f"{number:,} {what}" for what, number in answers.most_common())
        cells = (
            *(name, f"{cuts[49]:.0f} ms", f"{cuts[98]:.0f} ms", f"{cuts[98] / self.alone:.1f}"),
            *(str(load.refused), str(failed), f"{haproxy} MB", told),
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def payment_for(user_id: str, number: int, amount: int, days: int) -> dict[str, object]:
    payment = {"method": "card", "transaction_id": f"t-{number}", "amount": 1, "currency": "eur"}
    return {"user_id": user_id, "amount": amount, "days": days, "payment": payment}


def prepare(client: httpx.Client) -> None:
    """Give everybody what they need."""
    for user in (*map(normal_user, range(NORMAL_USERS)), LISTER, BROKEN):
        body = payment_for(user, 0, 10**9, 30)
        client.post("/subscription/credits", json=body).raise_for_status()
    client.post("/subscription/usage", json=charge(BROKEN, 1), headers=KEY).raise_for_status()
    for number in range(GRANTS):
        client.post("/subscription/credits", json=payment_for(SPENDER, number, DAYS, DAYS))
    details = {"text": "x" * (RECORD_BYTES - 300)}
    for _ in range(RECORDS // 100):
        records = [charge(LISTER, 1, details=details) for _ in range(100)]
        client.post("/subscription/usage/batch", json={"records": records}).raise_for_status()


def normal_user(number: int) -> str:
    return f"user-{number % NORMAL_USERS}"


def normal_load(target: Target) -> Load:
    """Charge so often, whatever the answers take."""

    async def run() -> Load:
        load = Load([], Counter(), 0)
        refused = 0
        async with client_of(target.url, target.key) as client:

            async def one(number: int) -> None:
                nonlocal refused
                user, started = normal_user(number), time.perf_counter()
                answer = await client.post("/subscription/usage", json=charge(user, 1))
                assert answer.status_code in (201, 503), answer.text
                load.charged[user] += answer.status_code == 201
                refused += answer.status_code == 503
                load.milliseconds.append((time.perf_counter() - started) * 1000)

            async with asyncio.TaskGroup() as group:
                for number in range(int(target.seconds * NORMAL_A_SECOND)):
                    group.create_task(one(number))
                    await asyncio.sleep(1 / NORMAL_A_SECOND)
        return load._replace(refused=refused)

    return asyncio.run(run())


def spoil(service: RunningService) -> None:
    """Leave nothing of what was decided under a key, and have the shards forget its answer."""
    with service.mongo() as mongo:
        spoilt = {"$set": {"body": {}, "answer": 7}}
        mongo.allotment.allotment_journal.update_one({"command_id": f"{BROKEN} k"}, spoilt)
    assert service.command("restart").returncode == 0


def haproxy_megabytes(service: RunningService) -> int:
    """Return what HAProxy has in memory."""
    return sum(kb for _, name, kb in processes(service) if name.endswith("haproxy")) // 1024


# --- a clock that is wrong --------------------------------------------------------------------


def held_by_all(client: httpx.Client) -> dict[str, tuple[str, int, str]]:
    """Return what each user of the normal load is shown: status, what is left, and the day."""
    found = {}
    for user in map(normal_user, range(NORMAL_USERS)):
        shown = client.get("/subscription/status", params={"user_id": user}).json()
        found[user] = (shown["status"], shown["remaining_credits"], shown["date"])
    return found


def entries(service: RunningService) -> int:
    with service.mongo() as mongo:
        return mongo.allotment.allotment_journal.count_documents({})


def pids(service: RunningService) -> list[int]:
    with service.client() as client:
        return [row["pid"] for row in client.get("/admin/shards").json()]


@dataclass
class Measurement:
    """The parts of one run, each of which adds a row."""

    service: RunningService
    target: Target
    loads: Executor
    table: Table = field(default_factory=Table)

    def load(self) -> Load:
        return self.loads.submit(normal_load, self.target).result()

    def add(self, name: str, load: Load, answers: Counter[str] | None = None) -> None:
        self.table.add(name, load, haproxy_megabytes(self.service), answers or Counter())

    def beside(self, name: str, attack: Callable[..., Counter[str]], *more: str) -> None:
        """Measure the load beside an attack, from its first moment on."""
        with ProcessPoolExecutor(1, CONTEXT, stand_back) as attackers:
            attackers.submit(time.monotonic).result()  # It has begun.
            attacking = attackers.submit(attack, self.target, *more)
            load = self.load()
            memory = haproxy_megabytes(self.service)
            self.table.add(name, load, memory, attacking.result())
        time.sleep(REST_SECONDS)

    def run(self, clock: MovedClock | None, only: Sequence[str]) -> bool:
        """Print the table, or its rows with these names; return whether nobody was harmed."""
        print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
        self.add("nothing", self.load())
        before = pids(self.service)
        if not only:
            self.beside("attackers of a sink of their own", send_elsewhere)
        for kind in chosen(SENDS, only):
            self.beside(kind, send, kind)
        for kind in chosen(HOLDERS, only):
            self.beside(kind, HOLDERS[kind])
        lacks = self.wrong_for_a_while(clock) if clock and chosen(["clock"], only) else []
        self.add("nothing again", self.load())
        again = len(set(pids(self.service)) - set(before))
        print("shards that were started again:", again)
        return not (self.table.failures or again or lacks)

    def wrong_for_a_while(self, clock: MovedClock) -> list[str]:
        """Have the clock show a time far ahead amid the load; return what somebody then lacks."""
        key = {"Idempotency-Key": "before the clock went wrong"}
        with self.service.client() as client:

            def repeat() -> httpx.Response:
                body = charge(normal_user(0), 0)
                return client.post("/subscription/usage", json=body, headers=key)

            first = repeat()
            before, journal = held_by_all(client), entries(self.service)
            clock.set(AHEAD)
            try:
                load, amid = self.load(), repeat()
            finally:
                clock.set(timedelta(0))
            after, again = held_by_all(client), repeat()
        self.add(f"a clock that is {AHEAD.days} days ahead", load)
        lacks = [
            f"{user} had {had} and has {after[user]} after {load.charged[user]} charges"
            for user, had in before.items()
            if after[user] != (had[0], had[1] - load.charged[user], had[2])
        ]
        if not first.content == amid.content == again.content:
            lacks.append(f"a repeat was answered {amid.text}, {again.text}, at first {first.text}")
        if entries(self.service) < journal + load.charged.total():
            lacks.append("the journal lacks entries")
        print("\n".join(lacks) or "After the clock was right again all had what they had.")
        return lacks


def chosen(names: Iterable[str], only: Sequence[str]) -> list[str]:
    """Return the names that are asked for; nothing is: all of them."""
    return [name for name in names if not only or name in only]


def measure(
    service: RunningService, clock: MovedClock | None, seconds: float, only: Sequence[str]
) -> bool:
    """Prepare the users, and print the table; return whether nobody was harmed."""
    with service.client() as client:
        prepare(client)
        spoil(service)
        target = Target(str(client.base_url), service.key, seconds)
    with ProcessPoolExecutor(1, CONTEXT) as loads:
        loads.submit(normal_load, target._replace(seconds=WARM_SECONDS)).result()
        return Measurement(service, target, loads).run(clock, only)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument(
        "--only", nargs="+", default=[], choices=ROWS, help="these, and the load alone"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clock, settings = None, {"ALLOTMENT_JWT_SECRET": SECRET, "ALLOTMENT_TRIM_CRON": "* * * * *"}
        try:
            clock = MovedClock(Path(folder))
            settings |= clock.settings
        except NotImplementedError as reason:
            print(f"The clock is not set wrong: {reason}.", file=sys.stderr)
        with RunningService(Path(folder), **settings) as service:
            return int(not measure(service, clock, options.seconds, options.only))


if __name__ == "__main__":
    sys.exit(main())
