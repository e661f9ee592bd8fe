"""Fails a test that leaves something behind: what is open when it ends and was not when it began.

What a fixture of a wider scope opens belongs to that fixture, also where a test is the first to
ask for it. What ends by itself in a moment is waited for. Looking takes a millisecond, ten
thousand times: it is done once for each test, at its end.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pymongo.monitoring
import pytest

ENDS_SECONDS_MAX = 10.0  # For what is ending already; only a leak waits that long.
PAUSE_SECONDS = 0.01
OURS = ("actors", "bench", "domain", "tests")
CACHES = {".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__"}
OF_THE_PROCESS = "multiprocessing.resource_tracker"  # Python keeps one until the process ends.
ROOT = Path(__file__).parents[1]


class Transactions(pymongo.monitoring.CommandListener):
    """Follows which transactions the clients of this process have open."""

    def __init__(self) -> None:
        self._open: dict[tuple[Any, bytes], str] = {}

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        command = event.command
        if command.get("startTransaction"):
            self._open[_session(event, command)] = event.command_name
        elif event.command_name in ("commitTransaction", "abortTransaction"):
            self._open.pop(_session(event, command), None)
        elif event.command_name in ("endSessions", "killSessions"):
            for session in command[event.command_name]:
                self._open.pop((event.connection_id, bytes(session["id"])), None)

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        """Nothing to do: what succeeds stays open."""

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        """Nothing to do: a client aborts what has failed, and is told so where it does not."""

    def open(self) -> dict[str, str]:
        """Return what is open on servers that still answer."""
        for key in list(self._open):
            if not _answers(key[0]):
                self._open.pop(key, None)
        return {f"transaction {key[1].hex()}": name for key, name in self._open.copy().items()}


def _session(
    event: pymongo.monitoring.CommandStartedEvent, command: Mapping[str, Any]
) -> tuple[Any, bytes]:
    return event.connection_id, bytes(command["lsid"]["id"])


def _answers(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1.0):
        return True
    return False


TRANSACTIONS = Transactions()
pymongo.monitoring.register(TRANSACTIONS)
KNOWN: set[str] = set()
"""What the next test is not to blame for: it was open before, or a wider fixture has opened it."""


def now_open() -> dict[str, str]:
    """Return everything that is open now, each with what helps to find it."""
    return TRANSACTIONS.open() | _processes() | _threads() | _ports() | _files()


def _processes() -> dict[str, str]:
    found = {}
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # The thread has ended meanwhile.
            for pid in task.read_text().split():
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                command = b" ".join(words).decode(errors="replace")
                if OF_THE_PROCESS not in command:
                    found[f"process {pid}"] = command[:200]
    return found


def _threads() -> dict[str, str]:
    return {
        f"thread {thread.native_id}": thread.name
        for thread in threading.enumerate()
        if thread is not threading.current_thread() and _counts(thread)
    }


def _counts(thread: threading.Thread) -> bool:
    """Whether a test has to end a thread: the idle ones of an executor end with the executor."""
    code = getattr(thread, "_target", None) or type(thread)
    package = str(getattr(code, "__module__", ""))
    if package.startswith("concurrent."):
        return False
    return not thread.daemon or package.partition(".")[0] in OURS


def _ports() -> dict[str, str]:
    found = {}
    for opened in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # It has been closed meanwhile, or is no socket.
            name = opened.readlink().name
            if name.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(opened.name))) as same:
                    if same.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found[f"socket {name}"] = f"listens at {same.getsockname()}"
    return found


def _files() -> dict[str, str]:
    folders = {ROOT, Path.cwd()}
    return {
        f"file {path}": "outside the test's own folder"
        for folder in folders
        for path in folder.iterdir()
        if path.name not in CACHES
    }


def left() -> dict[str, str]:
    """Return what nobody else has opened and stays open; what is ending has time to do so."""
    deadline = time.monotonic() + ENDS_SECONDS_MAX
    while found := {k: v for k, v in now_open().items() if k not in KNOWN}:
        if time.monotonic() > deadline:
            break
        time.sleep(PAUSE_SECONDS)
    return found


def pytest_collection_finish() -> None:
    """Take all that is open before the first test as known."""
    KNOWN.update(now_open())


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    """Note what a fixture of a wider scope opens, whether or not it comes to its end."""
    if fixturedef.scope == "function":
        return (yield)
    before = now_open()
    try:
        return (yield)
    finally:
        KNOWN.update(now_open().keys() - before.keys())


@pytest.fixture(autouse=True)
def _leaves_nothing_open() -> Iterator[None]:
    yield
    found = left()
    KNOWN.update(found)
    if found:
        pytest.fail("it left open:\n" + "\n".join(f"{k}: {v}" for k, v in found.items()))
