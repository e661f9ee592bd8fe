"""The whole service for a long time, with mixed work and something broken every few seconds.

`python -m tests.service.soak --minutes 20 --seed 1` starts a service with two shards, an endpoint of
webhooks and a local Stripe; 64 connections work, another program edits documents, Stripe's events
arrive, and one process after the other is killed or stopped. With `--nodes` the service runs on two
machines (`machines.py`; root is needed), and one of them is killed whole, too. Afterwards the books
must agree to the credit. It prints what it does, the books, and the memory of each kind of process
in the first and the last quarter; the exit code is 1 where anything differs.
"""

import argparse
import asyncio
import contextlib
import functools
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import httpx

from actors.mongo.connection import connect
from actors.mongo.embedded_wire import MongoWire
from bench.machine import facts
from bench.processes import free_port
from tests.patience import PATIENCE_SECONDS
from tests.service.fault_maker import DATABASE_BACK_SECONDS_MAX, kill, stop, until
from tests.service.foreign_edits import Editor
from tests.service.machines import Machines, ServiceOnMachines
from tests.service.mixed_work import Workers
from tests.service.processes import database_pid
from tests.service.receiver import as_setting
from tests.service.receiver_process import ReceiverProcess
from tests.service.running import RunningService
from tests.service.soak_audit import problems_at_rest
from tests.service.soak_machines import NODE_FAULTS, REPLICAS, WORKERS
from tests.service.soak_stage import LOOK_SECONDS, Fault, Stage
from tests.service.stripe_burst import deliver, live, told
from tests.service.stripe_clients import LocalStripe, settings_for

USERS = 64  # Whom nobody else edits.
EDITED = 50
SUBSCRIPTIONS_A_MINUTE = 6  # Of Stripe's, made beforehand.
CHUNK = 8  # Stripe's events delivered together.
EDIT_SECONDS = 0.25
READY_SECONDS_MAX = PATIENCE_SECONDS
PROGRESS_SECONDS = 10.0
FLAT_MINUTES_MIN = 10.0  # Before, processes still fill what they keep.


async def kill_database(on: Stage) -> None:
    pid = database_pid(on.service)
    os.kill(pid, signal.SIGKILL)
    uri = on.service.mongo_uri
    await until(lambda: MongoWire().ping(uri), DATABASE_BACK_SECONDS_MAX)


def killed(name: str) -> Fault:
    """Return the fault that kills a process and waits for its successor."""
    return functools.partial(kill, name)


FAULTS: dict[str, Fault] = {
    "shard 0 killed": killed("shard-000"),
    "shard 1 killed": killed("shard-001"),
    "shard stopped": functools.partial(stop, "shard-000"),
    "sync killed": killed("SyncActor"),
    "janitor killed": killed("JanitorActor"),
    "relay killed": killed("EventActor"),
    "stripe killed": killed("StripeActor"),
    "replica killed": killed("ServeReplica"),
    "controller killed": killed("ServeController"),
    "database killed": kill_database,
}


# --- what goes on all the time ----------------------------------------------------------------


async def break_things(on: Stage, every: float, faults: dict[str, Fault]) -> None:
    """Make each fault once in a random order, then any, and wait each time until all is well."""
    waiting: list[str] = []
    while not await on.over_within(on.dice.uniform(0.5, 1.5) * every):
        if not waiting:
            waiting = on.dice.sample(list(faults), len(faults))
        name = waiting.pop()
        began = time.monotonic()
        await faults[name](on)
        await until(lambda: is_ready(on.service), READY_SECONDS_MAX)
        on.faults[name] += 1
        print(f"         {name}: ready again after {time.monotonic() - began:.1f} s", flush=True)


def is_ready(service: RunningService) -> bool:
    with contextlib.suppress(httpx.TransportError), service.client() as http:
        return http.get("/readyz").status_code == 200
    return False


async def edit(on: Stage, editor: Editor) -> None:
    """Edit documents as another program does."""
    while not await on.over_within(EDIT_SECONDS):
        await asyncio.to_thread(editor.edit)
        on.edits += 1


async def tell_of_stripe(on: Stage, bodies: list[str], seconds: float) -> None:
    """Deliver Stripe's events one to three times each, in any order, over the whole time."""
    sent = [body for body in bodies for _ in range(on.dice.randint(1, 3))]
    on.dice.shuffle(sent)
    on.storm.sends(bodies, len(sent))
    pause = 0.8 * seconds * CHUNK / max(1, len(sent))
    for first in range(0, len(sent), CHUNK):
        await deliver(on.service, sent[first : first + CHUNK], on.storm)
        await on.over_within(pause)


async def watch(on: Stage, seconds: float) -> None:
    """Measure memory, and say how far it is."""
    began = told_at = time.monotonic()
    while not await on.over_within(LOOK_SECONDS):
        now = time.monotonic()
        await asyncio.to_thread(on.memory.look, on.service, now - began, seconds)
        events = len(await asyncio.to_thread(lambda: on.receiver.received))
        if now - told_at >= PROGRESS_SECONDS:
            told_at = now
            books = on.workers.books
            print(
                f"{now - began:5.0f} s  {books.answers.total():,} answers, {books.repeats:,} repeats,"
                f" {on.edits:,} edits, {events:,} webhooks, {on.faults.total()} faults",
                flush=True,
            )


async def soak(
    on: Stage,
    bodies: list[str],
    editor: Editor,
    faults: dict[str, Fault],
    seconds: float,
    every: float,
) -> None:
    """Let everything go on for so long; return when all that was begun is answered."""
    async with asyncio.TaskGroup() as group:
        group.create_task(on.workers.run(on.service))
        group.create_task(edit(on, editor))
        group.create_task(tell_of_stripe(on, bodies, seconds))
        group.create_task(watch(on, seconds))
        group.create_task(break_things(on, every, faults))
        await asyncio.sleep(seconds)
        on.over.set()
        on.workers.stop()


def service_for(
    folder: Path, machines: Machines | None, receiver: ReceiverProcess, stripe_port: int
) -> RunningService:
    """Return a service that knows the endpoint and the local Stripe, on as many machines."""
    reach = machines.reach if machines else "127.0.0.1:{}".format
    hooks = receiver.config("soak") | {"url": f"http://{reach(receiver.port)}/hooks"}
    settings = settings_for(stripe_port) | {
        "ALLOTMENT_STRIPE_API_BASE": f"http://{reach(stripe_port)}",
        "ALLOTMENT_SHARDS": "2",
        "ALLOTMENT_LOG_EVENTS": "0",
        "ALLOTMENT_WEBHOOKS": as_setting(hooks),
    }
    if machines is None:
        return RunningService(folder, **settings)
    return ServiceOnMachines(machines, ALLOTMENT_HTTP_REPLICAS=str(REPLICAS), **settings)


def run(
    folder: Path, *, seconds: float, every: float, seed: int, nodes: bool = False
) -> tuple[Stage, list[str]]:
    """Soak a service of its own; return what was done, and what is wrong afterwards."""
    dice = random.Random(seed)
    port = free_port()
    edited = [f"{number:024x}"[::-1] for number in range(1, EDITED + 1)]
    faults = FAULTS | NODE_FAULTS if nodes else FAULTS
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(ReceiverProcess(folder))
        print("Stripe's subscriptions", flush=True)
        local = stack.enter_context(LocalStripe(port))
        names = live(local, max(2, round(SUBSCRIPTIONS_A_MINUTE * seconds / 60)), dice)
        print("the service", flush=True)
        machines = stack.enter_context(Machines(folder, WORKERS)) if nodes else None
        service = stack.enter_context(service_for(folder, machines, receiver, port))
        database = connect(service.mongo_uri, "allotment")
        stack.callback(database.client.close)
        workers = Workers([f"soak-{number}" for number in range(USERS)], edited, seed)
        on = Stage(service, database, receiver, local, workers, edited, dice, machines)
        editor = Editor(database, edited, seed)
        editor.begin()
        asyncio.run(soak(on, told(local), editor, faults, seconds, every))
        print("at rest: the books", flush=True)
        return on, problems_at_rest(on, names)


def main() -> None:
    """Soak, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--every", type=float, default=6.0, help="seconds between two faults")
    parser.add_argument("--nodes", action="store_true", help="on two machines; one is killed, too")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in facts().items()), "seed", chosen.seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        on, problems = run(
            Path(folder),
            seconds=60 * chosen.minutes,
            every=chosen.every,
            seed=chosen.seed,
            nodes=chosen.nodes,
        )
    if chosen.minutes >= FLAT_MINUTES_MIN:
        problems += on.memory.not_flat()
    books = on.workers.books
    print("\nanswers:", dict(sorted(books.answers.items())), "repeats:", books.repeats, end="; ")
    print(f"the slowest took {books.slowest:.1f} s with its repeats")
    print("faults:", dict(sorted(on.faults.items())))
    print(
        f"edits: {on.edits}; Stripe's events: {on.storm.events}, {on.storm.deliveries} deliveries"
    )
    print(on.memory.table())
    for problem in problems:
        print("WRONG:", problem)
    print("all is as it must be" if not problems else f"{len(problems)} things are wrong")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
