"""Takes nodes from a running cluster in every way listed here, under load, and prints what callers saw.

`python -m tests.service.nodes` takes some thirteen minutes; `--only NAME` makes one of them. Each has a
cluster of its own, with a head and two workers (`machines.py`; root is needed), four shards, and an
HTTP replica for each node. The callers use the head's address, and are those of `faults.py`.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from actors.mongo.connection import connect
from actors.mongo.embedded_wire import Documents
from bench.machine import facts
from bench.progress import track
from tests.service.callers import PAUSE_SECONDS
from tests.service.fault_maker import Fault
from tests.service.faults import HEAD, run
from tests.service.machines import Machines, ServiceOnMachines
from tests.service.processes import runs, shard_pids, wake
from tests.stopping import stop_process

CUT_SECONDS = 40.0  # Longer than a node's silence is borne, and a lease lasts.
SUCCEEDED_SECONDS_MAX = 90.0
LAST_SECONDS = 5.0  # Of calls after a command has ended.


@dataclass(frozen=True)
class Cluster:
    """A running service on several machines."""

    machines: Machines
    service: ServiceOnMachines
    database: Documents

    def node_of(self, address: str) -> str:
        """Return the id of the node that has an address."""
        rows = self.shards()
        found = self.machines.node_ids()
        assert found[address] in {row["node_id"] for row in rows}, "it has a shard"
        return found[address]

    def shards(self) -> list[dict[str, str]]:
        with self.service.client() as client:
            rows: list[dict[str, str]] = client.get("/admin/shards").raise_for_status().json()
            return rows


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        machines = await asyncio.to_thread(stack.enter_context, Machines(folder, workers=2))
        service = ServiceOnMachines(machines, ALLOTMENT_SHARDS="4", ALLOTMENT_HTTP_REPLICAS="3")
        database = connect(machines.own_mongo_uri, "allotment")
        stack.callback(database.client.close)
        await asyncio.to_thread(service.start)
        try:
            yield Cluster(machines, service, database)
        finally:
            await asyncio.to_thread(service.stop)


async def kill_processes(on: Cluster) -> tuple[float, str]:
    victim = on.machines.workers[0]
    node_id = await asyncio.to_thread(on.node_of, victim.address)
    began = time.monotonic()
    await asyncio.to_thread(victim.run, "kill -9 -1 || true")
    return began, await succeeded(on, node_id, began)


async def lose(on: Cluster) -> tuple[float, str]:
    victim = on.machines.workers[0]
    node_id = await asyncio.to_thread(on.node_of, victim.address)
    began = time.monotonic()
    victim.cut()
    await asyncio.to_thread(victim.kill)
    return began, await succeeded(on, node_id, began)


async def cut_off(on: Cluster) -> tuple[float, str]:
    victim = on.machines.workers[0]
    node_id = await asyncio.to_thread(on.node_of, victim.address)
    began = time.monotonic()
    victim.cut()
    note = await succeeded(on, node_id, began)
    await asyncio.sleep(began + CUT_SECONDS - time.monotonic())
    before = await asyncio.to_thread(victim.pids, "ray::ShardActor")
    victim.mend()
    mended = time.monotonic()
    await until(lambda: not victim.pids("ray::ShardActor"))
    ended = time.monotonic() - mended
    return (
        began,
        f"{note}; mended after {CUT_SECONDS:.0f} s, its {len(before)} shard(s) ended {ended:.1f} s later",
    )


async def hang_shard(on: Cluster) -> tuple[float, str]:
    victim = on.machines.workers[0]
    node_id = await asyncio.to_thread(on.node_of, victim.address)
    name = next(row["shard"] for row in on.shards() if row["node_id"] == node_id)
    stopped = shard_pids(on.database, name)
    return await hang(stopped, lambda: bool(shard_pids(on.database, name) - stopped))


async def hang_others(on: Cluster) -> tuple[float, str]:
    titles = ("ray::SyncActor", "ray::JanitorActor", "ray::EventActor")
    pids = set().union(*map(on.machines.pids, titles))
    assert len(pids) == len(titles), "each has one process"
    return await hang(pids, lambda: all(on.machines.pids(title) - pids for title in titles))


async def hang(stopped: set[int], are_replaced: Callable[[], bool]) -> tuple[float, str]:
    """Stop processes, and wake them up when others are in their places."""
    try:
        for pid in stopped:
            stop_process(pid)
        began = time.monotonic()
        await until(lambda: not any(runs(pid) for pid in stopped))
        ended = time.monotonic() - began
        await until(are_replaced)
        replaced = time.monotonic() - began
    finally:
        for pid in stopped:
            wake(pid)
    return began, f" (ended after {ended:.1f} s, replaced after {replaced:.1f} s)"


async def drain(on: Cluster) -> tuple[float, str]:
    victim = on.machines.workers[0]
    node_id = await asyncio.to_thread(on.node_of, victim.address)
    began = time.monotonic()
    done = await asyncio.to_thread(on.service.command, "drain", node_id)
    assert done.returncode == 0, done.stderr
    ended = time.monotonic()
    await asyncio.sleep(LAST_SECONDS)
    left = "had" if not victim.pids("raylet/raylet") else "had not"
    return began, f" (done after {ended - began:.0f} s; Ray {left} left the node by itself)"


async def restart(on: Cluster) -> tuple[float, str]:
    began = time.monotonic()
    done = await asyncio.to_thread(on.service.command, "restart")
    assert done.returncode == 0, done.stderr
    ended = time.monotonic()
    await asyncio.sleep(LAST_SECONDS)
    return began, f" (done after {ended - began:.0f} s)"


async def succeeded(on: Cluster, node_id: str, began: float) -> str:
    """Return once all shards answer on other nodes; say when."""
    await until(lambda: all(row["node_id"] != node_id for row in on.shards()))
    return f" (its shards answered elsewhere after {time.monotonic() - began:.1f} s)"


async def until(reached: Callable[[], bool]) -> None:
    """Return once it is so. Raises AssertionError."""
    deadline = time.monotonic() + SUCCEEDED_SECONDS_MAX
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if await asyncio.to_thread(reached):
                return
        assert time.monotonic() < deadline, "it does not come about"
        await asyncio.sleep(0.1)


FAULTS = [
    Fault("node's processes killed", "`kill -9` of all processes of a node", kill_processes),
    Fault("node lost", "its network, then its processes are gone", lose),
    Fault("node cut off", "its network is away for 40 s", cut_off),
    Fault("shard hangs", "`kill -STOP` of a shard on a worker", hang_shard),
    Fault("others hang", "`kill -STOP` of SyncActor, JanitorActor, EventActor", hang_others),
    Fault("node drained", "`allotment drain NODE`", drain),
    Fault("all restarted", "`allotment restart`", restart),
]


async def main(names: list[str], pause: float) -> int:
    """Make the faults one after another; return 1 where one lost a charge or did not end."""
    code = 0
    print(", ".join(f"{name} {value}" for name, value in facts().items()), flush=True)
    print(f"\n{HEAD}\n|{' --- |' * HEAD.count(' | ')} --- |", flush=True)
    chosen = [fault for fault in FAULTS if fault.name in names or not names]
    for fault in track(Console(stderr=True), chosen, lambda fault: fault.name):
        async with cluster() as on:
            made = await run(fault, on, pause)
            print(made.row, flush=True)
            code |= not made.is_well
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], choices=[f.name for f in FAULTS])
    parser.add_argument(
        "--pause", type=float, default=PAUSE_SECONDS, help="of a caller, in seconds"
    )
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.only, options.pause)))
