"""Users who cross the line at random while shards, the EventActor and the receiver are killed.

`python -m tests.service.events_run --users 20000 --kill-every 8 --seed 1` runs a service of its
own and prints one JSON line. What every user's events must be is known beforehand: the model in
`crossing.py` decides each command by itself. What the receiver got must be that: nothing missing,
nothing else, in each user's order, and repeats under the same id with the same body. The exit
code is 1 where anything differs.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from actors.client.asynchronous import AsyncAllotment
from bench.progress import LINE_SECONDS, begin, time_left
from tests.service.crossing import ADDS, ROUNDS, Run
from tests.service.processes import actor_pid
from tests.service.receiver import Receiver, as_setting
from tests.service.receiver_process import ReceiverProcess
from tests.service.running import RunningService

DRAIN_SECONDS_MAX = 240.0
LOOK_SECONDS = 0.5  # How often it is looked what has arrived.

Endpoint = Receiver | ReceiverProcess
Bar = Callable[[int, int], None]
"""Is told how many commands are done, and how many events have arrived."""


class Arrivals:
    """Which events of a run have arrived so far."""

    def __init__(self, run: Run, receiver: Endpoint) -> None:
        self._models = run.models
        self._receiver = receiver
        self._looked_at = 0
        self.ids: set[str] = set()

    def look(self) -> int:
        """Take up what is new, and return how many there are."""
        received = self._receiver.received
        while self._looked_at < len(received):
            event = received[self._looked_at].event
            self._looked_at += 1
            if event["user_id"] in self._models:
                self.ids.add(event["id"])
        return len(self.ids)


async def kill_in_turn(service: RunningService, receiver: Endpoint, every: float) -> None:
    """SIGKILL a shard, the EventActor, and take the receiver down for a second, for ever."""
    while True:
        for victim in ("ShardActor", "EventActor", "receiver"):
            await asyncio.sleep(every)
            if victim == "receiver":
                receiver.stop()
                try:
                    await asyncio.sleep(1.0)
                finally:  # The run may end, and this with it, while the receiver is away.
                    receiver.start()
            else:
                kill_actor(service, victim)


def kill_actor(service: RunningService, name: str) -> None:
    try:
        os.kill(actor_pid(service, name), signal.SIGKILL)
    except (AssertionError, ProcessLookupError):
        return  # It was killed before and has not come back yet.


def wanted_of(run: Run) -> int:
    """Return how many events there are to be told so far."""
    return sum(len(model.events) for model in run.models.values())


def judge(run: Run, receiver: Endpoint) -> dict[str, Any]:
    """Return what differs between what was to be told and what was."""
    first: dict[str, list[tuple[str, str]]] = defaultdict(list)
    bodies: dict[str, bytes] = {}
    repeats = differing_bodies = 0
    for one in list(receiver.received):
        user, name = one.event["user_id"], one.event["id"]
        if user not in run.models:
            continue
        assert one.headers["webhook-id"] == name
        if name in bodies:
            repeats += 1
            differing_bodies += bodies[name] != one.body
            continue
        bodies[name] = one.body
        first[user].append((one.event["type"], one.event["created"]))
    told = {user: [kind for kind, _ in first[user]] for user in run.models}
    wrong = [user for user, model in run.models.items() if told[user] != model.events]
    wanted = wanted_of(run)
    return {
        "users": len(run.models),
        "charges": run.charges,
        "events_wanted": wanted,
        "events_told": len(bodies),
        "users_told_wrongly": len(wrong),
        "example": [(u, told[u], run.models[u].events) for u in wrong[:3]],
        "repeats": repeats,
        "repeats_share": round(repeats / max(wanted, 1), 5),
        "repeats_with_another_body": differing_bodies,
        "commands_repeated_by_the_client": run.repeats,
    }


async def run_with_kills(
    run: Run, service: RunningService, receiver: Endpoint, every: float, progress: Bar | None = None
) -> dict[str, Any]:
    """Live, with kills, until everything was told; return the judgement."""
    started = time.monotonic()
    arrivals, bar = Arrivals(run, receiver), progress or (lambda *_: None)
    killing = asyncio.create_task(kill_in_turn(service, receiver, every)) if every else None
    living = asyncio.create_task(run.live())
    while not living.done():
        bar(run.adds + run.charges, await asyncio.to_thread(arrivals.look))
        await asyncio.wait([living], timeout=LOOK_SECONDS)
    await living
    lived = time.monotonic() - started
    if killing:
        killing.cancel()
        await asyncio.wait([killing])
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    while arrivals.look() < wanted_of(run) and time.monotonic() < deadline:
        bar(run.adds + run.charges, len(arrivals.ids))
        await asyncio.sleep(LOOK_SECONDS)
    told = time.monotonic() - started
    await asyncio.sleep(2.0)  # What must not come would come now.
    return judge(run, receiver) | {
        "seconds_of_commands": round(lived, 1),
        "seconds_until_all_was_told": round(told, 1),
    }


@contextlib.contextmanager
def progress_bar(users: int) -> Iterator[Bar]:
    """Show how many commands are done, and how many events have arrived."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(console, round(users * (ROUNDS + ADDS)))
        return
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        task = progress.add_task("beginning", total=users * (ROUNDS + ADDS))

        def show(commands: int, told: int) -> None:
            said = f"{commands:,} commands, {told:,} events"
            progress.update(task, completed=commands, description=said)

        yield show


def lines(console: Console, total: int) -> Bar:
    """Return what says the same in a file, now and then."""
    began = shown = time.monotonic()

    def show(commands: int, told: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= LINE_SECONDS:
            shown = now
            left = time_left(now - began, commands, total)
            begin(console, f"{commands:,} of {total:,} commands, {told:,} events{left}")

    return show


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--kill-every", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    async def crossing(service: RunningService, receiver: Endpoint) -> dict[str, Any]:
        client = await AsyncAllotment.connect(service.ray_address, timeout_seconds=60)
        run = Run(client, options.users, options.seed)
        with progress_bar(options.users) as bar:
            return await run_with_kills(run, service, receiver, options.kill_every, bar)

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        ReceiverProcess(Path(folder)) as receiver,
    ):
        webhooks = as_setting(receiver.config("crossing"))
        settings = {"ALLOTMENT_SHARDS": "2", "ALLOTMENT_WEBHOOKS": webhooks}
        with RunningService(Path(folder), **settings, ALLOTMENT_LOG_EVENTS="0") as service:
            told = asyncio.run(crossing(service, receiver))
            print(json.dumps(told))
            ray.shutdown()
    return 1 if told["users_told_wrongly"] or told["repeats_with_another_body"] else 0


if __name__ == "__main__":
    sys.exit(main())
