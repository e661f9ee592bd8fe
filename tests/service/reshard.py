"""Changes the number of shards of a running service under load, and prints what callers saw.

`python -m tests.service.reshard` does 3 → 8 → 2 under 64 connections of mixed work, and 2 → 8 → 2 with
the janitor, which carries it out, killed amid it; then it stops the service amid another change, and
starts it. Every caller has a user of its own: each answer must be what this caller's own requests
make of it, so an old one is seen at once.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import httpx

from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from bench.machine import facts
from tests.patience import PATIENCE_SECONDS
from tests.service.processes import actor_pid
from tests.service.running import RunningService

CONNECTIONS = 64
AMOUNT = 30_000_000  # Nobody runs out of credits.
DAYS = 300
TIMEOUT_SECONDS = 30.0
QUIET_SECONDS = 4.0  # Of calls that nothing disturbs, first.
SETTLE_SECONDS_MAX = PATIENCE_SECONDS
REPORT_SECONDS_MAX = PATIENCE_SECONDS
HEAD = (
    "| change | slots moved | took | requests | failed | old answers | p50 | p99 | longest |"
    " lost, doubled |"
)


class Load(NamedTuple):
    """How many callers there are, and how long each rests after a round of calls."""

    callers: int
    pause: float


class Answer(NamedTuple):
    """One request: when it was sent, how long it took, and what came (0: no HTTP answer)."""

    what: str
    at: float
    seconds: float
    code: int


@dataclass
class Seen:
    """What all callers saw."""

    answers: list[Answer] = field(default_factory=list)
    charged: Counter[str] = field(default_factory=Counter)
    """Credits by user, as acknowledged."""
    records: Counter[str] = field(default_factory=Counter)
    old: list[str] = field(default_factory=list)
    """Answers that were not what the caller's own requests had made of it."""
    problems: list[str] = field(default_factory=list)


class Caller:
    """Charges, holds, settles, reads and lists for one user, one request after another."""

    def __init__(self, client: aiohttp.ClientSession, user: str, seen: Seen, pause: float) -> None:
        self._pause = pause
        self._client = client
        self._user = user
        self._seen = seen
        self._used = 0
        self._records = 0

    async def open(self) -> None:
        payment = {"method": "card", "transaction_id": "t", "amount": 1, "currency": "eur"}
        body = {"user_id": self._user, "amount": AMOUNT, "days": DAYS, "payment": payment}
        await self._ask("POST", "/subscription/credits", 201, json=body)

    async def work(self, stopping: asyncio.Event) -> None:
        for number in itertools.count():
            if stopping.is_set():
                return
            await self._charge(f"{self._user}-{number}")
            await self._read()
            if number % 5 == 0:
                await self._hold_and_settle(f"{self._user}-h{number}")
            if number % 10 == 0:
                await self._list()
            await asyncio.sleep(self._pause)

    async def _charge(self, key: str) -> None:
        body = {"user_id": self._user, "service_type": "chat", "credit_amount": 1}
        charged = await self._ask("POST", "/subscription/usage", 201, key=key, json=body)
        self._note(1)
        self._check("credits_used", charged["credits_used"])

    async def _hold_and_settle(self, key: str) -> None:
        body = {"user_id": self._user, "credit_amount": 5}
        held = await self._ask("POST", "/subscription/holds", 201, key=key, json=body)
        path = f"/subscription/holds/{held['hold_id']}/settle"
        await self._ask("POST", path, 201, key=f"{key}-s", json={"credit_amount": 3})
        self._note(3)
        await self._read()

    async def _read(self) -> None:
        shown = await self._ask("GET", f"/subscription/status?user_id={self._user}", 200)
        self._check("credits_used", shown["credits_used"])

    async def _list(self) -> None:
        path = f"/subscription/usage/monthly?user_id={self._user}&month={time.strftime('%Y-%m')}"
        month = await self._ask("GET", path, 200)
        self._check("credit_amount", month["credit_amount"])

    def _note(self, credits_charged: int) -> None:
        self._used += credits_charged
        self._seen.charged[self._user] += credits_charged
        self._seen.records[self._user] += 1

    def _check(self, name: str, told: int) -> None:
        if told != self._used:
            self._seen.old.append(f"{self._user}: {name} is {told} and not {self._used}")

    async def _ask(
        self, method: str, path: str, good: int, *, key: str | None = None, **named: Any
    ) -> Any:
        """Return the answer; what failed is counted, and sent again with its key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        while True:
            sent = time.monotonic()
            code, text = 0, ""
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._client.request(method, path, headers=headers, **named) as answer:
                    code, text = answer.status, await answer.text()
            what = f"{method} {path.partition('?')[0].rpartition('/')[2]}"
            self._seen.answers.append(Answer(what, sent, time.monotonic() - sent, code))
            if code == good:
                return json.loads(text)
            self._seen.problems.append(f"{method} {path}: {code} {text}")
            await asyncio.sleep(1.0)


@contextlib.asynccontextmanager
async def calling(service: RunningService, run: str, load: Load) -> AsyncIterator[Seen]:
    """Call as long as the block; at its end every request is answered."""
    seen, stopping = Seen(), asyncio.Event()
    async with aiohttp.ClientSession(
        service.address,
        headers={"Authorization": f"Bearer {service.key}"},
        connector=aiohttp.TCPConnector(limit=load.callers),
        timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS),
    ) as client:
        crew = [Caller(client, f"{run}-{n}", seen, load.pause) for n in range(load.callers)]
        await asyncio.gather(*(caller.open() for caller in crew))
        seen.answers.clear()
        tasks = [asyncio.create_task(caller.work(stopping)) for caller in crew]
        try:
            yield seen
        finally:
            stopping.set()
            await asyncio.gather(*tasks)


async def reshard(service: RunningService, shards: int, *, kill: bool) -> dict[str, Any]:
    """Change the number of shards by the command; return what it prints."""
    command = asyncio.create_task(
        asyncio.to_thread(service.command, "reshard", "--shards", str(shards), "--json")
    )
    if kill:
        await asyncio.to_thread(kill_janitor_amid, service, shards)
    done = await command
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert not told["running"]
    return told


def kill_janitor_amid(service: RunningService, shards: int) -> None:
    """Kill the janitor when some slots have arrived, and some have not."""
    with service.client() as client:
        wait_for_report(client, lambda told: told["shards"] == shards and bool(told["moved"]))
    os.kill(actor_pid(service, "JanitorActor"), signal.SIGKILL)


def wait_for_report(client: httpx.Client, reached: Callable[[Any], bool]) -> Any:
    """Return the report of the change once something holds of it."""
    deadline = time.monotonic() + REPORT_SECONDS_MAX
    while time.monotonic() < deadline:
        answer = client.get("/admin/reshard")
        if answer.status_code == 200 and reached(answer.json()):
            return answer.json()
    raise AssertionError("it never came to that")


async def differing(seen: Seen, run: str, database: Documents) -> tuple[int, int]:
    """Return how many credits are lost, and how many too many, once the views have settled."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        kept = await asyncio.to_thread(_kept, run, database)
        lost, more = (seen.charged - kept).total(), (kept - seen.charged).total()
        if (lost, more) == (0, 0) or time.monotonic() > deadline:
            return lost, more
        await asyncio.sleep(0.5)


def _kept(run: str, database: Documents) -> Counter[str]:
    kept: Counter[str] = Counter()
    for usage in database.usages.find({"user_id": {"$gte": f"{run}-", "$lt": f"{run}."}}):
        kept[str(usage["user_id"])] += int(usage["credit_amount"])
    return kept


def row(what: str, told: dict[str, Any], answers: list[Answer], old: int, books: str) -> str:
    """Return a change as the table shows it."""
    failed = Counter(a.code for a in answers if a.code not in (200, 201))
    ordered = sorted(a.seconds for a in answers)
    longest = max(answers, key=lambda a: a.seconds).what
    cells = (
        what,
        str(told.get("slots", "")),
        f"{told['elapsed_seconds']:.1f} s",
        str(len(answers)),
        ", ".join(f"{count} of {code}" for code, count in failed.items()) or "0",
        str(old),
        *(f"{ordered[int((len(ordered) - 1) * p)] * 1000:.0f} ms" for p in (0.5, 0.99)),
        f"{ordered[-1] * 1000:.0f} ms ({longest})",
        books,
    )
    return f"| {' | '.join(cells)} |"


async def change(
    service: RunningService, database: Documents, shards: int, *, kill: bool, load: Load
) -> tuple[list[str], bool]:
    """Change the number of shards under load.

    Returns the rows of the table, and whether each answer and the books were right.
    """
    run = f"reshard-{secrets.token_hex(4)}"
    async with calling(service, run, load) as seen:
        await asyncio.sleep(QUIET_SECONDS)
        began = time.monotonic()
        told = await reshard(service, shards, kill=kill)
        ended = time.monotonic()
        await asyncio.sleep(1.0)
    for problem in seen.problems[:20] + seen.old[:20]:
        print(f"unexpected: {problem}", flush=True)
    lost, doubled = await differing(seen, run, database)
    quiet = [a for a in seen.answers if a.at + a.seconds < began]
    during = [a for a in seen.answers if began <= a.at + a.seconds and a.at <= ended]
    name = f"{told['shards_before']} → {told['shards']}{', janitor killed' if kill else ''}"
    rows = [
        row(
            f"none, {told['shards_before']} shards",
            {"elapsed_seconds": QUIET_SECONDS},
            quiet,
            0,
            "",
        ),
        row(name, told, during, len(seen.old), f"{lost}, {doubled}"),
    ]
    return rows, not (lost or doubled or seen.old)


def restarted(service: RunningService, shards: int) -> str:
    """Stop the service amid a change of the number of shards, and start it; return what it does."""
    with service.client() as client:
        client.post("/admin/reshard", json={"shards": shards}).raise_for_status()
        before = wait_for_report(client, lambda told: bool(told["moved"]))
    service.stop()
    service.start()
    with service.client() as client:
        after = wait_for_report(client, lambda told: not told["running"])
        rows = client.get("/admin/shards").json()
    return (
        f"\nstopped with {before['moved']} of {before['slots']} slots moved to {shards} shards;"
        f" started again: {after['moved']} moved, {len(rows)} shards"
    )


async def main(first: int, ways: list[int], load: Load, kills: list[bool]) -> int:
    """Change the number of shards to one after another, on one service; return the exit code."""
    code = 0
    print(", ".join(f"{name} {value}" for name, value in facts().items()), flush=True)
    print(f"\n{HEAD}\n|{' --- |' * (HEAD.count(' | ') + 1)}", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        service = RunningService(Path(folder), ALLOTMENT_SHARDS=str(first))
        await asyncio.to_thread(service.start)
        database = connect(service.mongo_uri, "allotment")
        try:
            for kill, shards in itertools.product(kills, ways):
                rows, is_well = await change(service, database, shards, kill=kill, load=load)
                print(*rows, sep="\n", flush=True)
                code |= not is_well
            print(await asyncio.to_thread(restarted, service, ways[-1] + 1), flush=True)
        finally:
            database.client.close()
            await asyncio.to_thread(service.stop)
            told = "".join(line for line in service.output if "WARNING" in line or "ERROR" in line)
            print(told, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--pause", type=float, default=0.0, help="of each, in seconds")
    parser.add_argument("--through", default="3,8,2", help="numbers of shards, one after another")
    parser.add_argument("--kill", choices=["no", "yes", "both"], default="both")
    options = parser.parse_args()
    first, *numbers = [int(number) for number in options.through.split(",")]
    load = Load(options.connections, options.pause)
    kills = {"no": [False], "yes": [True], "both": [False, True]}[options.kill]
    sys.exit(asyncio.run(main(first, numbers, load, kills)))
