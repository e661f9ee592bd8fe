"""Starts `allotment up` as a process of its own, and stops it as an operator would."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pymongo

from bench.processes import free_port
from tests.patience import SERVICE_SECONDS

PRICES = """
[[prices]]
service = "chat"
model = "small-*"
credits_per_unit = 0.25
unit_size = 1000
"""
POLL_SECONDS = 0.1
START_SECONDS_MAX = SERVICE_SECONDS
STOP_SECONDS_MAX = SERVICE_SECONDS
COMMAND_SECONDS_MAX = SERVICE_SECONDS
PR_SET_PDEATHSIG = 1
WITH_US = f"""
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, int(signal.SIGINT))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def ending_with_us(*arguments: str) -> list[str]:
    """Return a Python command that Linux interrupts, as Ctrl-C would, when the thread ends that starts it."""
    with_us = ["-c", WITH_US] if sys.platform == "linux" else []
    return [sys.executable, *with_us, *arguments]


def wait_until(reached: Callable[[], bool], seconds: float) -> None:
    """Return once the condition holds. Raises AssertionError where it does not in time."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not reached within {seconds} seconds"
        threading.Event().wait(POLL_SECONDS)


def prices_in(directory: Path) -> Path:
    """Return where the price list of a service in this directory is."""
    return directory / "prices.toml"


class RunningService:
    """One service in a data directory. Its HTTP port is a free one; others it finds itself.

    It has Ray's dashboard where the settings say so: that takes a tenth of a start.
    """

    def __init__(self, directory: Path, **settings: str) -> None:
        self.data_dir = directory / "data"
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.output: list[str] = []
        self.within: list[str] = []
        """What a command is to begin with, where the service runs on another machine."""
        self.options: tuple[str, ...] = ()
        """Of `allotment up`."""
        self.cwd = Path(__file__).parents[2]
        """Where the code is."""
        self._directory = directory
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        up = ["-m", "actors", "up", *self.options]
        command = [*self.within, sys.executable, *up] if self.within else ending_with_us(*up)
        self._process = subprocess.Popen(
            command,
            cwd=self.cwd,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=self._read_output, args=(ready,), daemon=True).start()
        with contextlib.suppress(queue.Empty):
            if ready.get(timeout=START_SECONDS_MAX):
                return self
        self.stop(signal.SIGKILL)
        raise AssertionError("the service did not start:\n" + "".join(self.output))

    def environment(self) -> dict[str, str]:
        ours = {
            "ALLOTMENT_DATA_DIR": str(self.data_dir),
            "ALLOTMENT_HTTP_PORT": str(self.port),
            "ALLOTMENT_RAY_DASHBOARD": "0",
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ALLOTMENT_")}
        return inherited | ours | self._settings

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Signal the service and return its exit code."""
        assert self._process is not None, "it was started"
        if self._process.poll() is None:
            os.kill(self._pid(), number)
        return self._process.wait(STOP_SECONDS_MAX)

    def _pid(self) -> int:
        """Return the service's process: on another machine, the child of what went there."""
        assert self._process is not None, "it was started"
        pid = self._process.pid
        if not self.within:
            return pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def command(
        self, *arguments: str, seconds_max: float = COMMAND_SECONDS_MAX
    ) -> subprocess.CompletedProcess[str]:
        """Run another `allotment` command beside the service."""
        return subprocess.run(
            [*self.within, sys.executable, "-m", "actors", *arguments],
            cwd=self.cwd,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )

    @property
    def key(self) -> str:
        return (self.data_dir / "admin.key").read_text().strip()

    @property
    def mongo_uri(self) -> str:
        return (self.data_dir / "mongo.uri").read_text()

    @property
    def ray_address(self) -> str:
        return (self.data_dir / "ray.address").read_text()

    def mongo(self) -> "pymongo.MongoClient[dict[str, Any]]":
        """Return a client of the database, as another program would have."""
        return pymongo.MongoClient(self.mongo_uri, retryWrites=False)

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.address, headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        )

    def _read_output(self, ready: "queue.SimpleQueue[bool]") -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.output.append(line)
                if line.strip() == "ready":
                    ready.put(True)
        ready.put(False)  # It has ended.

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        failure: type[BaseException] | None,
        _e: BaseException | None,
        _t: TracebackType | None,
    ) -> None:
        if failure is not None:  # pytest shows it with the failure.
            sys.stdout.write("".join(self.output))
        self.stop()
