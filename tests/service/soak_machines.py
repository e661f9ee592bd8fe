"""The soak's service on two machines, of which one is killed whole, and replaced.

The head has Ray's GCS, and the process of `allotment up`, which is why it is the worker that dies:
every process of it at once, and half the time its network first, so that nobody is told. Other
faults go on with one machine until the next one joins and the service is spread over both.
"""

import asyncio
import functools
import itertools
import time

from tests.service.fault_maker import kill, until
from tests.service.machines import Machine, Machines
from tests.service.soak_stage import Fault, Stage

WORKERS = 1
REPLICAS = 2  # Of HTTP: one for each machine.
SUCCEEDED_SECONDS_MAX = 90.0
RESTARTS_MAX = 3  # The database may be away when an operator asks: he asks again.
KILLED, JOINED = "worker machine killed", "worker machine joined"
ACTORS = ("Shard", "Sync", "Janitor", "Event", "Stripe", "Supervisor")


def shards_on(machine: Machine, on: Stage) -> list[str]:
    """Return the shards whose leases processes of the machine have taken last."""
    marks = on.database.allotment_shards.find({"holder.machine": {"$ne": None}})
    return [one["_id"] for one in marks if one["holder"]["machine"].endswith(machine.space)]


def described(machine: Machine) -> str:
    """Return what of the service runs on a machine."""
    titles = [f"ray::{name}Actor" for name in ACTORS] + ["ray::ServeReplica"]
    counts = {title.removeprefix("ray::"): len(machine.pids(title)) for title in titles}
    return ", ".join(f"{count} {title}" for title, count in counts.items() if count)


async def lose_worker(on: Stage) -> None:
    """Kill the worker with all that runs there, and wait until its shards are taken elsewhere."""
    machines = machines_of(on)
    if not machines.workers:
        await join_worker(on)
        on.faults[JOINED] += 1
    victim = machines.workers.pop()
    silently = on.dice.random() < 0.5
    held = await asyncio.to_thread(described, victim)
    print(f"         the worker dies{' silently' if silently else ''}, with {held}", flush=True)
    began = time.monotonic()
    if silently:
        victim.cut()
    await asyncio.to_thread(victim.kill)
    await until(lambda: not shards_on(victim, on), SUCCEEDED_SECONDS_MAX)
    print(f"         its shards were taken after {time.monotonic() - began:.1f} s", flush=True)


async def join_worker(on: Stage) -> None:
    """Start another machine in the place of the lost one, and spread the service over both."""
    machines = machines_of(on)
    if machines.workers:
        await lose_worker(on)
        on.faults[KILLED] += 1
    machines.workers.append(await asyncio.to_thread(machines.add_worker))
    for attempt in itertools.count(1):
        done = await asyncio.to_thread(on.service.command, "restart")
        if done.returncode == 0:
            break
        assert attempt < RESTARTS_MAX, done.stdout + done.stderr
    held = await asyncio.to_thread(described, machines.workers[0])
    print(f"         a new worker has {held}", flush=True)


def machines_of(on: Stage) -> Machines:
    assert on.machines is not None, "the service runs on several machines"
    return on.machines


NODE_FAULTS: dict[str, Fault] = {
    "replica killed": functools.partial(kill, "ServeReplica", count=REPLICAS),
    KILLED: lose_worker,
    JOINED: join_worker,
}
