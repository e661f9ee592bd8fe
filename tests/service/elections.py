"""Mixed work through a replica set whose primary changes all the time, and the books afterwards.

`python -m tests.service.elections` takes five minutes: the primary changes every ten seconds, and
the majority stalls twice; what was written during the second stall is rolled back. The exit code
is 1 where anything acknowledged is lost or doubled, or RAM and MongoDB differ.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console

from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import MongoWire
from bench.machine import facts
from bench.progress import begin
from tests.service.load import CONNECTIONS
from tests.service.mixed_work import Books, Workers
from tests.service.running import RunningService
from tests.service.soak_audit import open_holds, wrong_charges, wrong_grants
from tests.wire.replica_set import ReplicaSet

ELECTION_EVERY_SECONDS = 10.0
NO_PRIMARY_SECONDS = 3.0
STALL_SECONDS = 15.0


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


async def work_through(
    service: RunningService, members: ReplicaSet, workers: Workers, seconds: float, stalls: int
) -> int:
    """Work meanwhile, until everything begun is answered. Returns the elections."""
    async with asyncio.TaskGroup() as group:
        group.create_task(workers.run(service))
        await workers.granted.wait()
        elections = await asyncio.to_thread(make_trouble, members, seconds, stalls=stalls)
        workers.stop()
    return elections


def problems_at_rest(service: RunningService, uri: str, books: Books) -> list[str]:
    """Hold the database to what was acknowledged, and RAM to the database."""
    problems = [f"an answer nobody expects: {kind}" for kind in books.answers if "unex" in kind]
    database = connect(uri, "allotment")
    try:
        problems += wrong_charges(database, books)
        problems += wrong_grants(database, books)
        problems += open_holds(service, database)
    finally:
        database.client.close()
    with service.client() as http:
        found = http.post("/admin/validate", json={"repair": False}).raise_for_status().json()
    print(f"drift {found['drift']}: {found}")
    return [*problems, f"RAM and MongoDB differ: {found}"] if found["drift"] else problems


def run(directory: Path, options: argparse.Namespace) -> int:
    workers = Workers(
        [f"soak-{number}" for number in range(options.users)], [], options.seed, options.callers
    )
    with EmbeddedMongo(directory / "mongo", wire=MongoWire()) as mongo:
        members = ReplicaSet(mongo.uri)
        service = RunningService(directory, ALLOTMENT_MONGO_URI=members.uri, ALLOTMENT_SHARDS="2")
        try:
            service.start()
            elections = asyncio.run(
                work_through(service, members, workers, options.seconds, options.stalls)
            )
            problems = problems_at_rest(service, mongo.uri, workers.books)
        finally:
            service.stop()
            members.close()
    books = workers.books
    sent = books.answers.total() + books.repeats
    print(f"{elections} elections, {options.stalls} stalls; answers: {dict(books.answers)}")
    print(
        f"503 or no answer: {books.repeats:,} of {sent:,} ({books.repeats / sent:.2%}); longest wait"
        f" {books.longest:.1f} s, with repeats {books.slowest:.1f} s"
    )
    for problem in problems:
        print("WRONG:", problem)
    print("all is as it must be" if not problems else f"{len(problems)} things are wrong")
    return 1 if problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.service.elections")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--callers", type=int, default=CONNECTIONS)
    parser.add_argument("--stalls", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in facts().items()), "seed", options.seed)
    with tempfile.TemporaryDirectory(prefix="elections-") as directory:
        return run(Path(directory), options)


if __name__ == "__main__":
    sys.exit(main())
