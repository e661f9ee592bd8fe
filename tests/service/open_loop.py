"""Arrivals that wait for no answer: charges and statuses at fixed rates, from a process of its own.

Reads a `Plan` as JSON from standard input and writes an `Account` as JSON to standard output. A
request is due by the clock; what is late because the service, or this process, is late counts as
waiting. Each takes a connection that is free, or opens one, up to a named number.
"""

import json
import random
import resource
import selectors
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from bench.load import RECEIVE_BYTES_MAX, Connection, Load, answer_length, cpu_seconds, requests_of

CONNECTIONS_MAX = 2_000  # Open at once; HAProxy takes 4,096.
ANSWERS_SECONDS_MAX = 15.0  # How long the last answers are waited for.
PROGRESS_SECONDS = 5.0
OVERLOADED = b'"code":"overloaded"'


@dataclass(frozen=True, slots=True)
class Phase:
    """How many of each are due a second, and for how long."""

    charges: float
    statuses: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent to a service, phase by phase."""

    port: int
    key: str
    users: int
    seed: int
    phases: list[Phase]
    connections: int = CONNECTIONS_MAX


@dataclass(slots=True)
class Account:
    """What became of it. Times are seconds from the beginning."""

    answers: list[tuple[float, float, str, str]] = field(default_factory=list)
    """When it was due, how long until it was answered, what it was, and the answer."""
    failures: dict[str, int] = field(default_factory=dict)
    """Requests that had no answer."""
    not_sent: int = 0
    """All connections were in use."""
    cpu_seconds: float = 0.0
    """What this process took of the machine."""


class OpenLoop:
    """Sends what is due, whatever has become of what was sent before."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._make: dict[str, Callable[[bytes], bytes]] = {
            job: requests_of(self._load(job, path))
            for job, path in (("usage", "/subscription/usage"), ("status", "/subscription/status"))
        }
        self._selector = selectors.DefaultSelector()
        self._free: list[Connection] = []
        self._sent: dict[Connection, str] = {}
        self._failures: Counter[str] = Counter()
        self._account = Account()
        self._began = 0.0

    def _load(self, job: str, path: str) -> Load:
        plan = self._plan
        return Load(job, plan.port, path, plan.key, plan.connections, plan.users, 0, 0, plan.seed)

    def run(self) -> Account:
        """Return what became of everything that was due."""
        self._began = phase_began = time.perf_counter()
        told = self._began
        for phase in self._plan.phases:
            due = {"usage": phase_began, "status": phase_began}
            every = {"usage": 1 / phase.charges, "status": 1 / phase.statuses}
            phase_began += phase.seconds
            while (now := time.perf_counter()) < phase_began:
                for job, gap in every.items():
                    while due[job] <= now:
                        self._send(job, due[job])
                        due[job] += gap
                self._receive_all(max(0.0, min(due.values()) - time.perf_counter()))
                if now - told > PROGRESS_SECONDS:
                    told = now
                    self._tell(now - self._began)
        ends = time.perf_counter() + ANSWERS_SECONDS_MAX
        while self._sent and time.perf_counter() < ends:
            self._receive_all(0.1)
        self._failures["no answer"] += len(self._sent)
        self._account.failures = dict(+self._failures)
        self._account.cpu_seconds = cpu_seconds()
        return self._account

    def _tell(self, seconds: float) -> None:
        codes = Counter(code for at, _, _, code in self._account.answers if at > seconds - 5)
        print(f"{seconds:5.0f} s  {len(self._sent):5} wait  {dict(codes)}", file=sys.stderr)

    def _send(self, job: str, due: float) -> None:
        connection = self._free.pop() if self._free else self._connect()
        if connection is None:
            return
        connection.sent_at = due
        self._sent[connection] = job
        try:
            connection.socket.send(self._make[job](b""))  # Smaller than any socket's buffer.
        except OSError as error:
            self._lose(connection, type(error).__name__)

    def _connect(self) -> Connection | None:
        if len(self._sent) >= self._plan.connections:
            self._account.not_sent += 1
            return None
        try:
            connection = Connection(self._plan.port)
        except OSError as error:
            self._failures[f"connecting: {type(error).__name__}"] += 1
            return None
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        return connection

    def _receive_all(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            self._receive(key.data)

    def _receive(self, connection: Connection) -> None:
        try:
            arrived = connection.socket.recv(RECEIVE_BYTES_MAX)
        except OSError as error:
            return self._lose(connection, type(error).__name__)
        if not arrived:
            return self._lose(connection, "connection closed")
        connection.received += arrived
        if len(connection.received) >= answer_length(connection.received):
            self._note(connection)
        return None

    def _note(self, connection: Connection) -> None:
        answer, connection.received = connection.received, b""
        seconds = time.perf_counter() - connection.sent_at
        job, code = self._sent.pop(connection), answer[9:12].decode(errors="replace")
        if code == "503" and OVERLOADED in answer and b"etry-" in answer:
            code = "overloaded"
        self._account.answers.append((connection.sent_at - self._began, seconds, job, code))
        self._free.append(connection)

    def _lose(self, connection: Connection, reason: str) -> None:
        """Close a connection. That is a failure only where an answer was waited for."""
        self._selector.unregister(connection.socket)
        connection.socket.close()
        if self._sent.pop(connection, None) is None:
            self._free.remove(connection)
        else:
            self._failures[reason] += 1


def main() -> None:
    """Do what standard input asks for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * CONNECTIONS_MAX)), hard))
    asked = json.load(sys.stdin)
    phases = [Phase(**phase) for phase in asked.pop("phases")]
    random.seed(asked["seed"])
    json.dump(asdict(OpenLoop(Plan(phases=phases, **asked)).run()), sys.stdout)


if __name__ == "__main__":
    main()
