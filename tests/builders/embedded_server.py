"""The embedded server in tests: what is said to it over the wire, and what shows from outside."""

import contextlib
import os
import signal
import string
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from actors.mongo.embedded_wire import MongoWire
from tests.patience import PATIENCE_SECONDS

DEADLINE_SECONDS = PATIENCE_SECONDS  # Only a failure waits that long.


class PlainWire:
    def ping(self, uri: str) -> bool:
        try:
            with client_of(uri, timeout_ms=1000) as client:
                return bool(client.admin.command("ping")["ok"])
        except PyMongoError:
            return False

    def probe(self, uri: str) -> None:
        MongoWire().probe(uri)

    def end_orphaned_sessions(self, uri: str) -> None:
        with client_of(uri) as client:
            client.admin.command("killAllSessions", [])

    def make_tables(self, uri: str) -> None:
        with client_of(uri) as client:
            for letter in string.ascii_lowercase:
                client.scratch[letter].insert_one({})
            client.drop_database("scratch")


def client_of(uri: str, timeout_ms: int = 5000) -> pymongo.MongoClient[dict[str, object]]:
    return pymongo.MongoClient(uri, retryWrites=False, serverSelectionTimeoutMS=timeout_ms)


def wait_until(reached: Callable[[], object]) -> None:
    pause = threading.Event()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, "the deadline passed"
        pause.wait(0.02)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def log_bytes(directory: Path) -> int:
    """Return how long the log of a server in this directory is."""
    found = 0
    for path in directory.glob("WiredTigerLog.*"):
        with contextlib.suppress(FileNotFoundError):  # The server removes the oldest meanwhile.
            found += path.stat().st_size
    return found
