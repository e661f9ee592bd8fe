"""A sweep over many resident accounts: how long it takes, and what usage beside it loses."""

import asyncio
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.mongo.connection import connect
from actors.protocol.reports import Findings
from actors.remote.loopback import join
from bench import machine
from bench.cases import Extent, Measured, run
from bench.cluster import share_environment
from bench.documents import day_documents, parts, subscription_document
from bench.processes import BenchError, Service, allotment
from bench.progress import begin, long_step, track
from bench.users import user_id

NEVER = "0 0 29 2 *"  # Sweeps are asked for here; none comes by itself.
CONNECTIONS = 64
ACCOUNTS_PER_CALL = 500
SWEEP_SECONDS_MAX = 3_600.0  # 200,000 accounts beside usage: a minute, on one busy core over ten.
ROUNDS_BESIDE_MAX = 120


def insert_users(service: Service, accounts: int, console: Console) -> None:
    """Give every user a subscription and days, as documents of another program."""
    database = connect(service.mongo_uri, "allotment")
    now = datetime.now(UTC)
    indexes = list(parts([{"index": index} for index in range(accounts)]))
    for part in track(console, indexes, lambda _: "writing documents"):
        documents = [subscription_document(row["index"], now) for row in part]
        database.subscriptions.insert_many(documents, ordered=False)
        days = [day for document in documents for day in day_documents(document, now)]
        database.dailycredits.insert_many(days, ordered=False)
    database.client.close()


def fill(service: Service, accounts: int, console: Console) -> None:
    """Have so many users in the database, and in RAM."""
    share_environment(service)
    insert_users(service, accounts, console)
    load_into_ram(service, accounts, console)


def load_into_ram(service: Service, accounts: int, console: Console) -> None:
    """Read every user's status once, so that the shards hold them all."""
    from actors.client import Allotment  # noqa: PLC0415 - it imports ray

    join(service.ray_address, log_to_driver=False, logging_level=logging.ERROR)
    client = Allotment.connect(timeout_seconds=60)
    starts = range(0, accounts, ACCOUNTS_PER_CALL)
    for start in track(console, starts, lambda _: "loading accounts"):
        chunk = range(start, min(start + ACCOUNTS_PER_CALL, accounts))
        client.check_daily_allocations([user_id(index) for index in chunk])
    client.close()


def sweep(*, whole: bool = True) -> dict[str, Any]:
    """Have all shards compare all they hold, or whose turn it is; return what they found."""
    from actors.remote.shards import RayShards  # noqa: PLC0415 - it imports ray

    async def compare_all() -> Findings:
        shards, found = RayShards(), Findings()
        table = await shards.directory()
        work = (shards.compare(index, repair=True, whole=whole) for index in range(table.shards))
        try:
            async with asyncio.timeout(SWEEP_SECONDS_MAX):
                for one in await asyncio.gather(*work):
                    found.add(one)
        except TimeoutError:
            took = f"{SWEEP_SECONDS_MAX:.0f} seconds"
            raise BenchError(f"the sweep over {table.shards} shards took over {took}") from None
        return found

    began = time.monotonic()
    found = asyncio.run(compare_all())
    elapsed_ms = (time.monotonic() - began) * 1000
    return asdict(found) | {"drift": found.drift, "elapsed_ms": elapsed_ms}


def leave_cluster() -> None:
    """Leave the service's cluster before it ends."""
    import ray  # noqa: PLC0415 - it reads the environment when it is imported

    ray.shutdown()


def usage(service: Service, extent: Extent, seed: int) -> dict[str, Any]:
    """Charge users at random for a while."""
    load = {
        "job": "usage",
        "seed": seed,
        **asdict(extent),
        "port": service.port,
        "key": service.key,
        "path": "/subscription/usage",
        "connections": CONNECTIONS,
    }
    return run("bench.load", load)


def usage_beside(service: Service, extent: Extent, measured: Measured) -> dict[str, Any]:
    """Charge users again and again until a sweep beside it is done; return its report."""
    with ThreadPoolExecutor(1) as thread:
        beside = thread.submit(sweep)
        for seed in range(100, 100 + ROUNDS_BESIDE_MAX):
            result = usage(service, extent, seed)
            if beside.done():  # Part of this round had no sweep beside it.
                break
            measured.add(result)
        report = beside.result()
    if not measured.rates:
        measured.add(result)
    return report


def sweep_of_a_turn(service: Service, extent: Extent, alone: Measured) -> dict[str, Any]:
    """Charge users for a while, and compare them and whose turn it is; return the report."""
    sweep(whole=False)  # All came into RAM since the last one.
    alone.add(usage(service, extent, seed=3))
    service.settle()
    return sweep(whole=False)


def bench_sweep(extent: Extent, console: Console, file: Path | None) -> int:
    """Measure and print; return the exit code."""
    alone, beside = Measured(), Measured()
    begin(console, "starting the service")
    with allotment(ALLOTMENT_SWEEP_CRON=NEVER, ALLOTMENT_TRIM_CRON=NEVER) as service:
        fill(service, extent.users, console)
        with long_step(console, "a sweep alone"):
            quiet = sweep()
        begin(console, "usage alone")
        for seed in range(2):
            alone.add(usage(service, extent, seed))
        service.settle()
        with long_step(console, "a sweep and usage beside each other"):
            busy = usage_beside(service, extent, beside)
        service.settle()
        with long_step(console, "a sweep after it"):
            after = sweep()
        with long_step(console, "a sweep of those whose turn it is"):
            turn = sweep_of_a_turn(service, extent, alone)
        leave_cluster()
    sweeps = {"alone": quiet, "beside": busy, "after": after, "turn": turn}
    print_report(console, (quiet, busy, after, turn), (alone, beside))
    if file:
        numbers = {"machine": machine.facts()} | sweeps
        rates = {"usage_alone": alone.rates, "usage_beside": beside.rates}
        file.write_text(json.dumps(numbers | rates, indent=2) + "\n")
    drift = any(report["drift"] for report in (busy, after, turn))
    return int(drift or bool(alone.errors or beside.errors))


def print_report(
    console: Console,
    sweeps: tuple[dict[str, Any], ...],
    usages: tuple[Measured, Measured],
) -> None:
    """Print sweeps without usage, with it, after it, and of a turn; usage without and with one."""
    (quiet, busy, after, turn), (alone, beside) = sweeps, usages
    table = Table("what", title=f"A sweep over {quiet['checked']:,} resident accounts")
    table.add_column("alone", justify="right")
    table.add_column("with the other beside it", justify="right")
    table.add_row(
        "sweep, seconds", f"{quiet['elapsed_ms'] / 1000:.1f}", f"{busy['elapsed_ms'] / 1000:.1f}"
    )
    table.add_row("sweep, accounts a second", *(rate_of(report) for report in (quiet, busy)))
    table.add_row("usage, charges a second", f"{alone.rate:.0f}", f"{beside.rate:.0f}")
    for percent in (50, 99):
        row = (f"{m.percentile(percent):.1f}" for m in (alone, beside))
        table.add_row(f"usage, ms p{percent}", *row)
    table.add_row(
        "sweep of a turn, seconds", f"{turn['elapsed_ms'] / 1000:.1f} for {turn['checked']:,}", ""
    )
    table.add_row("drift", f"{quiet['drift']:g}", f"{busy['drift']:g}, after it {after['drift']:g}")
    console.print(table)
    facts = machine.facts()
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)


def rate_of(report: dict[str, Any]) -> str:
    """Return how many accounts a second a sweep compared."""
    return f"{report['checked'] / max(report['elapsed_ms'], 1) * 1000:,.0f}"
