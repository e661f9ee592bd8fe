"""The processes of a run: each is started, waited for and ended by its own id."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 90.0
POLL_SECONDS = 0.1
OUTPUT_LINES_MAX = 200  # Of a service's last words, shown where it fails.
# Below what Linux gives to clients: one of those could take it before its server does.
SERVER_PORTS = range(20_000, 30_000)
PORTS_TRIED_MAX = 100
REPLICA_PORTS = 20  # Ports for Serve's replicas; a run needs two.
REPLICA_PORTS_FROM, REPLICA_PORTS_TO = 31_100, 32_700  # The same, past the others.
SETTLE_SECONDS_MAX = 120.0
ANSWER_SECONDS_MAX = 30.0  # Of one of its reports.


class BenchError(Exception):
    """The run cannot go on. The message says why."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: where it answers, and what a client needs."""

    port: int
    key: str
    mongo_uri: str
    ray_address: str
    environment: Mapping[str, str]
    """What other processes must share to join its cluster."""
    data_dir: Path

    def settle(self) -> float:
        """Wait until views and consumers have every charge; return how many seconds that took.

        A case begins when nothing is left of the one before, least of all of the seeding.
        """
        began = time.monotonic()
        while left := self._unsettled():
            if time.monotonic() - began > SETTLE_SECONDS_MAX:
                still = "; ".join(left)
                raise BenchError(f"not at rest within {SETTLE_SECONDS_MAX:.0f} seconds: {still}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def _unsettled(self) -> list[str]:
        """Return what is still to do; a report that cannot be had now is to be had, too."""
        try:
            return unsettled(self.get("/admin/shards"), self.get("/admin/events"))
        except httpx.HTTPError as error:
            return [f"GET {error.request.url.path}: {error!r}"]

    def get(self, path: str) -> Any:
        """Return an answer. Raises httpx.HTTPError."""
        return self._ask("GET", path, ANSWER_SECONDS_MAX)

    def post(self, path: str, seconds_max: float) -> Any:
        """Return the answer to a request without a body. BenchError: it was refused, or there is none."""
        try:
            return self._ask("POST", path, seconds_max)
        except httpx.HTTPStatusError as error:
            told = f"{error.response.status_code} {error.response.text[:300]}"
            raise BenchError(f"POST {path} was answered {told}") from error
        except httpx.HTTPError as error:
            raise BenchError(f"POST {path} was not answered: {error!r}") from error

    def _ask(self, method: str, path: str, seconds_max: float) -> Any:
        answer = httpx.request(
            method,
            f"http://127.0.0.1:{self.port}{path}",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=seconds_max,
        )
        return answer.raise_for_status().json()


def unsettled(shards: Sequence[Mapping[str, Any]], events: Mapping[str, Any]) -> list[str]:
    """Return what a service has still to do, by its own reports; nothing: it is at rest."""
    left = [
        f"{row['shard']} has {row['queued']} calls queued,"
        f" its views are {row['journal_seconds_behind']:.1f} s behind the journal"
        for row in shards
        if row["queued"] or row["journal_seconds_behind"]
    ]
    if events["undelivered_count"]:
        waiting = [
            f"{one['endpoint']} {one['undelivered']}"
            for one in events["endpoints"]
            if one["undelivered"]
        ]
        told = f"{events['undelivered_count']} deliveries of events are outstanding"
        left.append(f"{told} ({', '.join(waiting)})" if waiting else told)
    return left


def free_port() -> int:
    """Return a port on which nobody listens now."""
    for port in secrets.SystemRandom().sample(SERVER_PORTS, PORTS_TRIED_MAX):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise BenchError("no port is free")


def free_range() -> int:
    """Return the first of REPLICA_PORTS ports that nobody uses now."""
    for first in range(REPLICA_PORTS_FROM, REPLICA_PORTS_TO, REPLICA_PORTS):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + REPLICA_PORTS):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise BenchError("no ports are free for Serve's replicas")


def cluster_environment(folder: Path) -> dict[str, str]:
    """Return the variables that keep this cluster apart from others on the machine."""
    first = free_range()
    return {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy" / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "haproxy" / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder / "haproxy"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "haproxy" / "server-state"),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + REPLICA_PORTS - 1),
    }


def clean_environment() -> dict[str, str]:
    """Return our environment without what would lead to another service or cluster."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ALLOTMENT_") and name != "RAY_ADDRESS"
    }


@contextlib.contextmanager
def allotment(**settings: str) -> Iterator[Service]:
    """Run `allotment up` on free ports and a fresh data directory, as a user would."""
    with tempfile.TemporaryDirectory(prefix="ab-", ignore_cleanup_errors=True) as name:
        folder = Path(name)  # A short name: paths of Unix sockets are limited.
        data, port = folder / "data", free_port()
        shared = cluster_environment(folder)
        own = {"ALLOTMENT_HTTP_PORT": str(port), "ALLOTMENT_DATA_DIR": str(data)}
        command = [str(Path(sys.executable).with_name("allotment")), "up"]
        environment = clean_environment() | shared | own | settings | {"PYTHONPATH": str(ROOT)}
        with running(command, environment, folder, lambda line: line == "ready"):
            yield Service(
                port,
                (data / "admin.key").read_text().strip(),
                settings.get("ALLOTMENT_MONGO_URI") or (data / "mongo.uri").read_text().strip(),
                (data / "ray.address").read_text().strip(),
                shared,
                data,
            )


@contextlib.contextmanager
def running(
    command: list[str],
    environment: Mapping[str, str],
    folder: Path,
    is_ready: Callable[[str], bool],
) -> Iterator[None]:
    """Run a program as long as the block; it is entered when the program says it is ready."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=folder,
        text=True,
        start_new_session=True,  # A Ctrl-C in the terminal is for us; we end it in order.
    )
    lines: list[str] = []
    ready = threading.Event()
    reader = threading.Thread(target=read_lines, args=(process, lines, is_ready, ready))
    reader.start()
    try:
        wait_until_ready(command, process, ready, lines)
        yield
    finally:
        stop(process)
        reader.join()


def read_lines(
    process: "subprocess.Popen[str]",
    lines: list[str],
    is_ready: Callable[[str], bool],
    ready: threading.Event,
) -> None:
    """Keep a program's last lines until it ends, and notice the one that says it is ready."""
    assert process.stdout is not None, "it is a pipe"
    with process.stdout as output:
        for line in output:
            lines.append(line.rstrip("\n"))
            del lines[:-OUTPUT_LINES_MAX]
            if is_ready(lines[-1]):
                ready.set()


def wait_until_ready(
    command: list[str],
    process: "subprocess.Popen[str]",
    ready: threading.Event,
    lines: list[str],
) -> None:
    """Return when the program is ready. BenchError: it ended, or took too long."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while not ready.wait(POLL_SECONDS):
        if process.poll() is not None or time.monotonic() > deadline:
            name, code = Path(command[0]).name, process.returncode
            how = f"was not ready within {START_SECONDS_MAX:.0f} seconds"
            how = how if code is None else f"ended with {code} before it was ready"
            raise BenchError("\n".join([f"{name} {how}. It said:", *lines]))


def stop(process: "subprocess.Popen[str]") -> None:
    """End a program as Ctrl-C does, and by force only where it does not end."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
