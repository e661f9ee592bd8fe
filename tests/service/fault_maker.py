"""The faults: each is made, held, and undone here. What callers see is another file's matter."""

import asyncio
import contextlib
import errno
import functools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pymongo
from pymongo.errors import PyMongoError

from actors.embedded.keeper import EmbeddedMongo
from actors.mongo.embedded_wire import Documents, MongoWire
from tests.patience import PATIENCE_SECONDS
from tests.service.processes import actor_pids, shard_pids, wake
from tests.service.running import RunningService
from tests.service.slow_proxy import SlowProxy
from tests.stopping import stop_process

REPLACED_SECONDS_MAX = PATIENCE_SECONDS
DATABASE_BACK_SECONDS_MAX = PATIENCE_SECONDS
REFUSED_SECONDS = 8.0
SLOW_SECONDS = 10.0
DELAY_SECONDS = 0.3
HANGING_SECONDS = 15.0  # Longer than a request waits, and than a lease lasts.
FULL_SECONDS = 12.0
POLL_SECONDS = 0.02
FILL_BYTES = 1024 * 1024
LOG_FILE_MEGABYTES = 64  # Of the embedded database.


class Running(Protocol):
    """A running service whose processes can be found."""

    @property
    def service(self) -> RunningService:
        """The service."""

    @property
    def database(self) -> Documents:
        """Its database, past whatever is put between them."""


@dataclass(frozen=True)
class Stage:
    """A running service, and what of it can be broken."""

    service: RunningService
    mongo: EmbeddedMongo
    proxy: SlowProxy
    database: Documents
    """Past the proxy."""
    disk: Path | None
    """A small file system under the database, where one could be had."""


On = TypeVar("On", bound=Running)


@dataclass(frozen=True)
class Fault(Generic[On]):
    """One way to break the service."""

    name: str
    command: str
    """How a reader would make it by hand."""
    make: Callable[[On], Awaitable[tuple[float, str]]]
    """Makes it; returns the moment from which recovery counts, and a note for the table."""


# --- processes ------------------------------------------------------------------------------


def pids(on: Running, name: str) -> set[int]:
    """Return the processes of an actor: of a shard the one that holds its lease."""
    if name.startswith("shard-"):
        return shard_pids(on.database, name)
    return actor_pids(on.service, name)


async def until(reached: Callable[[], bool], seconds: float) -> None:
    """Return once something holds; TimeoutError where it does not in time.

    Where the database has to be asked, it may be away just then.
    """
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(PyMongoError):
                if await asyncio.to_thread(reached):
                    return
            await asyncio.sleep(POLL_SECONDS)


async def pid_of(on: Running, name: str, count: int = 1) -> int:
    """Return an actor's process, once there are so many: the one before it may just be ending."""
    found: list[set[int]] = []

    def are_all_there() -> bool:
        found[:] = [pids(on, name)]
        return len(found[0]) == count

    await until(are_all_there, REPLACED_SECONDS_MAX)
    return found[0].pop()


async def kill(name: str, on: Running, count: int = 1) -> tuple[float, str]:
    """Kill one of so many processes, and wait for its successor."""
    pid = await pid_of(on, name, count)
    moment = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: len(pids(on, name) - {pid}) == count, REPLACED_SECONDS_MAX)
    return moment, ""


async def stop(name: str, on: Running) -> tuple[float, str]:
    """Stop a process, and wake it up when another one is in its place."""
    pid = await pid_of(on, name)
    stop_process(pid)
    moment = time.monotonic()  # It may have answered until it stood still.
    try:
        await until(lambda: bool(pids(on, name) - {pid}), REPLACED_SECONDS_MAX)
        replaced = time.monotonic() - moment
    finally:
        wake(pid)
    return moment, f" (replaced after {replaced:.1f} s)"


# --- the database ---------------------------------------------------------------------------


async def database_answers(on: Stage) -> float:
    """Return the moment at which the database answers again."""
    await until(lambda: MongoWire().ping(on.mongo.uri), DATABASE_BACK_SECONDS_MAX)
    return time.monotonic()


async def refuse(on: Stage) -> tuple[float, str]:
    await on.proxy.refuse()
    await asyncio.sleep(REFUSED_SECONDS)
    await on.proxy.allow()
    return time.monotonic(), ""


async def slow(on: Stage) -> tuple[float, str]:
    on.proxy.delay_seconds = DELAY_SECONDS
    await asyncio.sleep(SLOW_SECONDS)
    on.proxy.delay_seconds = 0.0
    return time.monotonic(), ""


async def hang(on: Stage) -> tuple[float, str]:
    assert on.mongo.pid is not None, "it runs"
    stop_process(on.mongo.pid)
    try:
        await asyncio.sleep(HANGING_SECONDS)
    finally:
        os.kill(on.mongo.pid, signal.SIGCONT)
    return time.monotonic(), ""


async def end_database(number: signal.Signals, on: Stage) -> tuple[float, str]:
    pid = on.mongo.pid
    assert pid is not None, "it runs"
    began = time.monotonic()
    os.kill(pid, number)
    await until(lambda: on.mongo.pid != pid, DATABASE_BACK_SECONDS_MAX)
    moment = await database_answers(on)
    return moment, f" (the database was away for {moment - began:.1f} s)"


async def fill_disk(on: Stage) -> tuple[float, str]:
    if on.disk is None:
        raise NotImplementedError("no small file system could be mounted")
    ballast = on.disk / "ballast"
    await asyncio.to_thread(fill, ballast)
    with contextlib.suppress(PyMongoError):  # It wants room now, not only within a minute.
        await asyncio.to_thread(write_much, on.mongo.uri)
    full_until = time.monotonic() + FULL_SECONDS
    while time.monotonic() < full_until:  # What the database frees is taken from it, too.
        await asyncio.to_thread(fill, ballast)
        await asyncio.sleep(POLL_SECONDS)
    ballast.unlink()
    freed = time.monotonic()
    moment = await database_answers(on)
    return moment, f" (the database answered {moment - freed:.1f} s after there was room)"


def write_much(uri: str) -> None:
    """Have the database begin another file of its log."""
    with pymongo.MongoClient[dict[str, Any]](uri, retryWrites=False) as client:
        for _ in range(LOG_FILE_MEGABYTES + 1):
            client.ballast.things.insert_one({"text": "x" * 1024 * 1024})


def fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * FILL_BYTES)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


FAULTS = [
    Fault("shard killed", "`kill -9` of a shard", functools.partial(kill, "shard-000")),
    Fault("shard paused", "`kill -STOP` of a shard", functools.partial(stop, "shard-000")),
    Fault("sync killed", "`kill -9` of SyncActor", functools.partial(kill, "SyncActor")),
    Fault("sync paused", "`kill -STOP` of SyncActor", functools.partial(stop, "SyncActor")),
    Fault(
        "janitor paused", "`kill -STOP` of JanitorActor", functools.partial(stop, "JanitorActor")
    ),
    Fault("events paused", "`kill -STOP` of EventActor", functools.partial(stop, "EventActor")),
    Fault("stripe paused", "`kill -STOP` of StripeActor", functools.partial(stop, "StripeActor")),
    Fault(
        "replica killed", "`kill -9` of the HTTP replica", functools.partial(kill, "ServeReplica")
    ),
    Fault("database refused", "its port closed for 8 s", refuse),
    Fault("database slow", "each of its answers 0.3 s later, for 10 s", slow),
    Fault("database hanging", "`kill -STOP` of the database for 15 s", hang),
    Fault(
        "database restarted",
        "`kill` of the database",
        functools.partial(end_database, signal.SIGTERM),
    ),
    Fault(
        "database killed",
        "`kill -9` of the database",
        functools.partial(end_database, signal.SIGKILL),
    ),
    Fault("disk full", "a file that fills the database's disk, for 12 s", fill_disk),
]
