"""Breaks a running service in every way listed here, under load, and prints what callers saw.

`python -m tests.service.faults` takes some six minutes; `--only NAME` makes one fault. The service
is one of its own, with its own database. Root is needed for a disk that is full (a small tmpfs).
A table's "back" counts from the fault where a process of ours is replaced, and from the moment at
which the database answers again where that was broken. The exit code is 1 where a charge was lost
or doubled, or the service did not come back.
"""

import argparse
import asyncio
import contextlib
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

from pymongo.uri_parser import parse_uri
from rich.console import Console

from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.connection import connect
from actors.mongo.embedded_wire import MongoWire
from bench.machine import facts
from bench.progress import track
from tests.patience import PATIENCE_SECONDS
from tests.service.callers import PAUSE_SECONDS, Answer, Audit, Books, Callers, audit
from tests.service.fault_maker import FAULTS, Fault, On, Stage
from tests.service.running import RunningService
from tests.service.slow_proxy import SlowProxy

BEFORE_SECONDS = 2.0  # Of calls that nothing disturbs, first.
BACK_SECONDS_MAX = PATIENCE_SECONDS
DISK = "size=192m"  # What the database has, in all.
HEAD = (
    "| fault | made by | charges failed | statuses failed | slowest answer | longest until charged"
    " | lost, doubled | back after |"
)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Put a small file system under a folder as long as the block; False: it may not be."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


@contextlib.asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Run a service whose database is behind a proxy, on a small disk, in this program's hands."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        is_small = stack.enter_context(small_disk(folder / "disk"))
        mongo = stack.enter_context(EmbeddedMongo(folder / "disk" / "mongo", wire=MongoWire()))
        port = parse_uri(mongo.uri)["nodelist"][0][1]
        proxy = SlowProxy(port)
        await proxy.allow()
        service = RunningService(
            folder,
            ALLOTMENT_MONGO_URI=f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&replicaSet=secantus",
            ALLOTMENT_SHARDS="2",
            ALLOTMENT_STRIPE_API_KEY="sk_test_of_nobody",
            ALLOTMENT_STRIPE_API_BASE="http://127.0.0.1:9",  # Nobody answers there.
        )
        database = connect(mongo.uri, "allotment")
        stack.callback(database.client.close)
        await asyncio.to_thread(service.start)
        try:
            yield Stage(service, mongo, proxy, database, folder / "disk" if is_small else None)
        finally:
            await asyncio.to_thread(service.stop)
            await proxy.refuse()


class Made(NamedTuple):
    """One fault: its row of the table, and whether the service came back with its books right."""

    row: str
    is_well: bool


async def run(fault: Fault[On], on: On, pause: float) -> Made:
    """Make one fault under load; `pause` is that of its callers."""
    name = f"{fault.name.replace(' ', '-')}-{secrets.token_hex(4)}"
    callers = Callers(on.service.address, on.service.key, name, pause)
    async with callers.calling() as books:
        await asyncio.sleep(BEFORE_SECONDS)
        began = time.monotonic()
        try:
            moment, note = await fault.make(on)
        except NotImplementedError as reason:
            cells = f"| {fault.name} | {fault.command} | not made: {reason} | | | | | |"
            return Made(cells, is_well=True)
        deadline = time.monotonic() + BACK_SECONDS_MAX
        while not books.has_recovered(moment) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        back = books.recovered_after(moment) if books.has_recovered(moment) else None
        ended = time.monotonic()
    found = await audit(books, name, on.database)
    for problem in sorted(set(books.problems)):
        print(f"unexpected: {problem}", file=sys.stderr)
    cells = row(fault, books, (began, ended), found, f"{told(back)}{note}")
    return Made(cells, is_well=back is not None and found == Audit(0, 0, 0))


def told(seconds: float | None) -> str:
    """Return a time as the table shows it."""
    return f"not within {BACK_SECONDS_MAX:.0f} s" if seconds is None else f"{seconds:.1f} s"


def row(fault: Fault[On], books: Books, span: tuple[float, float], found: Audit, back: str) -> str:
    """Return what callers saw from the fault until all was well."""
    charges = [a for a in books.charges if span[0] <= a.at + a.seconds and a.at <= span[1]]
    reads = [a for a in books.reads if span[0] <= a.at + a.seconds and a.at <= span[1]]
    charged = [c.seconds for c in books.charged if c.at + c.seconds >= span[0]]
    slowest = max(answer.seconds for answer in (*charges, *reads))
    cells = (
        fault.name,
        fault.command,
        failed(charges, 201),
        failed(reads, 200),
        f"{slowest:.1f} s",
        f"{max(charged):.1f} s",
        f"{found.lost}, {found.doubled}" + (f", {found.unknown} unknown" * (found.unknown > 0)),
        back,
    )
    return f"| {' | '.join(cells)} |"


def failed(answers: list[Answer], good: int) -> str:
    """Return how many of the answers were not the wished one, and which came instead."""
    bad = [answer.code for answer in answers if answer.code != good]
    codes = ", ".join(str(code) if code else "no answer" for code in sorted(set(bad)))
    return f"{len(bad)} of {len(answers)}" + (f" ({codes})" if bad else "")


async def main(names: list[str], pause: float) -> int:
    """Make the faults one after another on one service; return the exit code."""
    print(", ".join(f"{name} {value}" for name, value in facts().items()), flush=True)
    print(f"\n{HEAD}\n|{' --- |' * HEAD.count(' | ')} --- |", flush=True)
    code = 0
    async with stage() as on:
        chosen = [fault for fault in FAULTS if fault.name in names or not names]
        for fault in track(Console(stderr=True), chosen, lambda fault: fault.name):
            said = len(on.service.output)
            made = await run(fault, on, pause)
            print(made.row, flush=True)
            code |= not made.is_well
            print("".join(on.service.output[said:]), end="", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], choices=[f.name for f in FAULTS])
    parser.add_argument(
        "--pause", type=float, default=PAUSE_SECONDS, help="of a caller, in seconds"
    )
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.only, options.pause)))
