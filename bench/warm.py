"""How fast a shard's RAM fills from MongoDB, beside a bare pymongo scan of the same documents.

An embedded server holds the accounts: a mark, a subscription with its grant, and two days each.
The scan decodes every document and keeps none; the shard keeps every account. Both run in this
process, so its processor time is one shard's; the server has the other core. A third run gets the
server's replies from memory: what is left is the shard's own work.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import Int64, ObjectId
from pymongo.client_session import ClientSession
from rich.console import Console
from rich.table import Table

from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.accounts.store import MongoStore
from actors.mongo.accounts.warm_reader import WarmReader
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents, MongoWire
from actors.mongo.preparation import prepare
from actors.protocol.directory import even
from actors.shard.interpreter import GC_GENERATION_THRESHOLD, GC_THRESHOLD
from actors.shard.shard import Shard
from bench import machine
from bench.documents import parts
from bench.memory import documents
from bench.processes import BenchError
from bench.progress import begin, track
from bench.users import user_id
from domain.values import Policy, UserId

PER_SECOND_MIN = 50_000  # Accounts a second and core: what the project promises.
ROUNDS = 3
SEEDED_TOGETHER = 2_000
WARM_SECONDS_MAX = 600.0  # Of one run: a hundred times what 200,000 accounts take.
COLLECTIONS = ("allotment_accounts", "subscriptions", "dailycredits")

Row = tuple[str, int, float, float]
"""A run: its name, what it took, and its seconds of wall clock and of the processor."""


def bench_warm(accounts: int, console: Console) -> int:
    """Measure and print; return the exit code."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedMongo(Path(folder) / "mongo", wire=MongoWire()) as server,
    ):
        database = connect(server.uri, "bench")
        prepare(database)
        seed(database, accounts, console)
        rows = measure(database, accounts, console)
        database.client.close()
    report(rows, accounts, console)
    return 0


def measure(database: Documents, accounts: int, console: Console) -> list[Row]:
    """Return what the runs took, round by round."""
    replies = Replies(database)
    begin(console, "keeping the server's replies")
    warm(replies, accounts)

    def from_memory() -> int:
        replies.rewind()
        return warm(replies, accounts)

    runs: dict[str, Callable[[], int]] = {
        "scan": lambda: scan(database),
        "warm start": lambda: warm(database, accounts),
        "from memory": from_memory,
    }
    names = [(name, number) for number in range(1, ROUNDS + 1) for name in runs]
    return [
        (f"{name} {number}", *timed(runs[name]))
        for name, number in track(console, names, lambda one: f"{one[0]}, round {one[1]}")
    ]


class Replies:
    """A database that answers from memory once it is rewound: in order, what it answered before."""

    def __init__(self, database: Documents) -> None:
        self._database = database
        self._kept: list[Any] = []
        self._again: Iterator[Any] | None = None
        self.client = self

    def rewind(self) -> None:
        """Begin with the first answer again."""
        self._again = iter(self._kept)

    @property
    def dailycredits(self) -> Any:
        """The collection itself: its one question is not kept."""
        return self._database.dailycredits

    def start_session(self, **options: Any) -> ClientSession:
        """Return a session of the database's."""
        return self._database.client.start_session(**options)

    def command(self, command: Any, **options: Any) -> Any:
        """Return the server's reply, or the one it gave to this command before."""
        if self._again is not None:
            return next(self._again)
        self._kept.append(self._database.command(command, **options))
        return self._kept[-1]


def seed(database: Documents, accounts: int, console: Console) -> None:
    """Write the documents as shards do."""
    now = datetime.now(UTC)
    for start in track(console, range(0, accounts, SEEDED_TOGETHER), lambda _: "seeding accounts"):
        part = range(start, min(start + SEEDED_TOGETHER, accounts))
        users = [user_id(index) for index in part]
        found = [documents(UserId(user), now) for user in users]
        for batch in parts([subscription for subscription, _ in found]):
            database.subscriptions.insert_many(batch, ordered=False)
        for batch in parts([day for _, days in found for day in days[:2]]):
            database.dailycredits.insert_many(batch, ordered=False)
        marks = [{"_id": ObjectId(user), "applied_seq": Int64(5)} for user in users]
        database.allotment_accounts.insert_many(marks, ordered=False)


def scan(database: Documents) -> int:
    """Read every document of the accounts once; return how many."""
    return sum(1 for name in COLLECTIONS for _ in database[name].find())


def warm(database: Any, accounts: int) -> int:
    """Fill a shard; return how many accounts it holds."""

    async def fill() -> int:
        shard = Shard(
            0,
            MongoStore(database),
            Policy(),
            accounts_max=accounts * 2,
            clock=lambda: datetime.now(UTC),
            table=even(1, 1),
        )
        task = asyncio.create_task(shard.warm_start.run(WarmReader(database)))
        try:
            async with asyncio.timeout(WARM_SECONDS_MAX):
                while not shard.counters.warming:  # noqa: ASYNC110 - it has no event for this
                    await asyncio.sleep(0)
                while shard.counters.warming and not task.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        except TimeoutError:
            taken = f"{shard.counters.warmed:,} of {accounts:,} accounts were taken"
            raise BenchError(f"after {WARM_SECONDS_MAX:.0f} seconds {taken}") from None
        if task.done():
            task.result()  # It ends by an error alone.
        task.cancel()
        return shard.counters.warmed

    before = gc.get_threshold()
    gc.set_threshold(GC_THRESHOLD, GC_GENERATION_THRESHOLD, GC_GENERATION_THRESHOLD)
    try:
        return asyncio.run(fill())
    finally:
        gc.set_threshold(*before)


def timed(run: Callable[[], int]) -> tuple[int, float, float]:
    """Return what came out, and its seconds of wall clock and of this process's processor."""
    wall, processor = time.perf_counter(), time.process_time()
    count = run()
    return count, time.perf_counter() - wall, time.process_time() - processor


def report(rows: list[Row], accounts: int, console: Console) -> None:
    """Print the table, and whether the best round from memory keeps the promise."""
    table = Table(title=f"warm start with {accounts} accounts")
    for name in ("run", "documents or accounts", "s", "CPU s", "accounts/s", "accounts/CPU s"):
        table.add_column(name, justify="right")
    best = 0.0
    for name, count, wall, processor in rows:
        if not name.startswith("scan"):
            assert count == accounts, "every account was taken"
        if name.startswith("from memory"):
            best = max(best, accounts / processor)
        figures = (f"{wall:.2f}", f"{processor:.2f}")
        rates = (f"{accounts / wall:,.0f}", f"{accounts / processor:,.0f}")
        table.add_row(name, str(count), *figures, *rates)
    console.print(table)
    verdict = "[green]meets[/green]" if best >= PER_SECOND_MIN else "[red]below[/red]"
    console.print(f"{best:,.0f} accounts/CPU s from memory: {verdict} {PER_SECOND_MIN:,}")
    console.print(", ".join(f"{key} {value}" for key, value in machine.facts().items()))
