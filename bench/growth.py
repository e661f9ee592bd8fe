"""What accounts and shards cost: a start, a resync, a sweep, and the memory of each process.

For each number of accounts and of shards an embedded server is filled, and a service started on it.
*Warm* is from the program's beginning until all accounts are in RAM. A *resync* is what follows when
the change stream has lost its place. A *sweep* compares all, and holds all documents to the rules, as
`POST /admin/validate` does; *another* one meets accounts that were found equal before. Processor time
is what all shards and the process that reads for them, and the database, have used meanwhile.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import MongoWire
from actors.mongo.preparation import prepare
from bench import machine
from bench.process_table import (
    SHARD,
    TICKS_PER_SECOND,
    Process,
    by_name,
    process,
    processes_with,
    stopped_and_killed,
)
from bench.processes import BenchError, Service, allotment
from bench.progress import begin, long_step
from bench.warm import seed

NEVER = "0 0 29 2 *"  # Sweeps are asked for here; none comes by itself.
STEP_SECONDS_MAX = 1_800.0  # Of one start, resync or sweep.
POLL_SECONDS = 0.05
DATABASE = "allotment"
LISTS = "ListsActor"
NO_POSITION = {"token": {"_data": "no position"}}


@dataclass(frozen=True, slots=True)
class Took:
    """What one step took: seconds by the clock, and of the processor."""

    seconds: float
    shards_cpu: float
    """Of all shards together, and of the process that reads for them."""
    database_cpu: float


@dataclass(frozen=True, slots=True)
class Row:
    """What so many accounts cost in so many shards."""

    accounts: int
    shards: int
    warm: Took
    resync: Took
    sweep: Took
    another: Took
    megabytes: dict[str, float]
    """Of the largest process of each kind."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A running service and its database."""

    service: Service
    server: EmbeddedMongo

    def processes(self) -> list[Process]:
        return processes_with("ALLOTMENT_DATA_DIR", str(self.service.data_dir))

    def shards_cpu(self) -> float:
        return sum(one.cpu_seconds for one in self.processes() if one.name in (SHARD, LISTS))

    def database_cpu(self) -> float:
        assert self.server.pid is not None, "it runs"
        return process(self.server.pid).cpu_seconds

    def in_ram(self) -> int:
        """Return how many accounts the shards hold."""
        return sum(row["users"] for row in self.service.get("/admin/shards"))

    def measured(self, step: Callable[[], object]) -> Took:
        """Return what a step takes of a service that runs."""
        began, shards, database = time.monotonic(), self.shards_cpu(), self.database_cpu()
        step()
        return Took(
            time.monotonic() - began,
            self.shards_cpu() - shards,
            self.database_cpu() - database,
        )

    def resync(self, accounts: int) -> None:
        """Have the change stream lose its place, and wait until RAM is full again."""
        database = connect(self.server.uri, DATABASE)
        (sync,) = [one for one in self.processes() if one.name == "SyncActor"]
        state = database.allotment_sync_state
        with stopped_and_killed(sync.pid):  # It cannot mend what is broken.
            state.update_one({"_id": "position"}, {"$set": NO_POSITION})
        # It is mended once every shard has forgotten what it had.
        wait_until(lambda: state.find_one({"_id": "position", **NO_POSITION}) is None, "a resync")
        database.client.close()
        wait_until(lambda: self.in_ram() == accounts, "RAM to be full again")

    def sweep(self) -> None:
        """Compare all. BenchError: something differs."""
        report = self.service.post("/admin/validate", STEP_SECONDS_MAX)
        if report["drift"] or report["invariants_broken"]:
            raise BenchError(f"the sweep found what differs: {report}")


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return once something holds. BenchError: it took too long."""
    deadline = time.monotonic() + STEP_SECONDS_MAX
    while not holds():
        if time.monotonic() > deadline:
            raise BenchError(f"waited {STEP_SECONDS_MAX:.0f} seconds for {what}")
        time.sleep(POLL_SECONDS)


def bench_growth(
    accounts: Sequence[int], shards: Sequence[int], console: Console, file: Path | None
) -> int:
    """Measure and print; return the exit code."""
    rows = []
    for so_many in accounts:
        for among in shards:
            begin(console, f"{so_many:,} accounts, shards: {among}")
            rows.append(measure(so_many, among, console))
            console.print(rows[-1], highlight=False)
    print_tables(rows, console)
    facts = machine.facts()
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)
    if file:
        numbers = {"machine": facts, "rows": [asdict(row) for row in rows]}
        file.write_text(json.dumps(numbers, indent=2) + "\n")
    return 0


def measure(accounts: int, shards: int, console: Console) -> Row:
    """Return what so many accounts cost in so many shards."""
    with filled(accounts, console) as server:
        assert server.pid is not None, "it runs"
        database_before, began = process(server.pid).cpu_seconds, time.monotonic()
        begin(console, "starting the service")
        with allotment(
            ALLOTMENT_MONGO_URI=server.uri,
            ALLOTMENT_MONGO_DB=DATABASE,
            ALLOTMENT_SHARDS=str(shards),
            ALLOTMENT_SWEEP_CRON=NEVER,
            ALLOTMENT_TRIM_CRON=NEVER,
        ) as service:
            watched = Watched(service, server)
            wait_until(lambda: watched.in_ram() == accounts, "all accounts to be in RAM")
            warm = Took(
                time.monotonic() - began,
                watched.shards_cpu(),
                watched.database_cpu() - database_before,
            )
            with long_step(console, "a resync"):
                resync = watched.measured(lambda: watched.resync(accounts))
            with long_step(console, "a sweep"):
                sweep = watched.measured(watched.sweep)
            with long_step(console, "another sweep"):
                another = watched.measured(watched.sweep)
            largest = {
                name: max(one.megabytes for one in found)
                for name, found in by_name(watched.processes()).items()
            }
            begin(console, "stopping the service")
    return Row(accounts, shards, warm, resync, sweep, another, largest)


@contextmanager
def filled(accounts: int, console: Console) -> Iterator[EmbeddedMongo]:
    """Run a server whose documents are those of so many accounts."""
    with (
        tempfile.TemporaryDirectory(prefix="ab-") as folder,
        EmbeddedMongo(Path(folder) / "mongo", wire=MongoWire()) as server,
    ):
        database = connect(server.uri, DATABASE)
        prepare(database)
        seed(database, accounts, console)
        database.client.close()
        yield server


def print_tables(rows: Sequence[Row], console: Console) -> None:
    """Print what steps took, and what memory processes have."""
    steps = Table("step", "accounts", "shards", title="what accounts and shards cost")
    for name in (
        "seconds",
        "shards' and reader's CPU, s",
        "database's CPU, s",
        "accounts a second of both",
    ):
        steps.add_column(name, justify="right")
    for step in ("warm", "resync", "sweep", "another"):
        for row in rows:
            took: Took = getattr(row, step)
            figures = (f"{one:.1f}" for one in (took.seconds, took.shards_cpu, took.database_cpu))
            rate = row.accounts / max(took.shards_cpu + took.database_cpu, 1 / TICKS_PER_SECOND)
            steps.add_row(step, f"{row.accounts:,}", str(row.shards), *figures, f"{rate:,.0f}")
        steps.add_section()
    console.print(steps)
    kinds = sorted({kind for row in rows for kind in row.megabytes})
    memory = Table("MB, of the largest process", title="memory")
    for row in rows:
        memory.add_column(f"{row.accounts:,} in {row.shards}", justify="right")
    for kind in kinds:
        memory.add_row(kind, *(f"{row.megabytes.get(kind, 0):,.0f}" for row in rows))
    console.print(memory)
