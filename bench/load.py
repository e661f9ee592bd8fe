"""The load generator: keeps N connections busy over raw sockets, in a process of its own.

Reads a `Load` as JSON from standard input and writes a `Result` as JSON to standard output.
On a machine with few cores the generator's own work is taken from the service's, so it does
as little as it can: requests are put together beforehand, answers are looked at, not parsed.
"""

import json
import random
import resource
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from bench.users import user_id

RECEIVE_BYTES_MAX = 65_536
POLL_SECONDS = 0.1
DRAIN_SECONDS_MAX = 15.0  # How long answers still on their way are waited for at the end.
RECONNECT_PAUSE_SECONDS = 0.05
HEAD_END = b"\r\n\r\n"
LENGTH_FIELD = b"content-length:"
HOLD_ID = b'"hold_id":"'
PAIR = "hold + settle"
CREDITS = "credits"
"""The job that adds a grant."""

Requests = Callable[[bytes], bytes]
"""Makes the next request of a connection, from the last answer on it (empty: the first)."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, to whom, over how many connections and for how long."""

    job: str
    """`status`, `usage`, `credits`, `no-op`, or a hold and its settlement, which count as one."""
    port: int
    path: str
    key: str
    connections: int
    users: int
    seconds: float
    warm_up_seconds: float
    seed: int


@dataclass(slots=True)
class Result:
    """What was measured after the warm-up."""

    seconds: float = 0.0
    operations: int = 0
    latencies_us: list[int] = field(default_factory=list)
    """Of the requests, or of the batches of a client's calls."""
    errors: dict[str, int] = field(default_factory=dict)
    load_cpu_seconds: float = 0.0
    """What the generator itself took of the machine."""


def requests_of(load: Load) -> Requests:
    """Return what makes the next request of a load."""
    choose = random.Random(load.seed).random
    users = load.users
    common = f"HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {load.key}\r\n"
    if load.job == "no-op":
        request = f"GET {load.path} {common}\r\n".encode()
        return lambda _: request
    if load.job == "status":
        reads = [
            f"GET {load.path}?user_id={user_id(index)} {common}\r\n".encode()
            for index in range(users)
        ]
        return lambda _: reads[int(choose() * users)]
    fields = f"{common}Content-Type: application/json\r\nContent-Length: "
    run = f"{load.seed}-{time.time_ns()}"
    key = f"\r\nIdempotency-Key: {run}-"
    numbers = iter(range(1, sys.maxsize))
    if load.job == CREDITS:
        payments = [payment_body(index, run) for index in range(users)]
        head = f"POST {load.path} {fields}{len(payments[0] % 0)}\r\n\r\n".encode()
        return lambda _: head + payments[int(choose() * users)] % next(numbers)
    bodies = [usage_body(index, 3 if load.job == PAIR else 1) for index in range(users)]
    head = f"POST {load.path} {fields}{len(bodies[0])}{key}".encode()

    def write(_: bytes) -> bytes:
        return b"%s%d\r\n\r\n%s" % (head, next(numbers), bodies[int(choose() * users)])

    if load.job != PAIR:
        return write
    cost = json.dumps({"credit_amount": 1, "token_count": 512}).encode()
    rest = f"/settle {fields}{len(cost)}{key}".encode()

    def hold_or_settle(answer: bytes) -> bytes:
        hold_id = hold_in(answer)
        if not hold_id:
            return write(answer)
        path = load.path.encode()
        return b"POST %s/%s%s%d\r\n\r\n%s" % (path, hold_id, rest, next(numbers), cost)

    return hold_or_settle


def hold_in(answer: bytes) -> bytes:
    """Return the id of the hold that an answer tells of; empty: of none."""
    return answer.partition(HOLD_ID)[2].partition(b'"')[0]


def usage_body(index: int, amount: int) -> bytes:
    """Return the body that charges a user, or sets credits aside."""
    record = {
        "user_id": user_id(index),
        "service_type": "chat",
        "credit_amount": amount,
        "token_count": 512,
        "model_used": "bench-1",
    }
    return json.dumps(record).encode()


def payment_body(index: int, run: str) -> bytes:
    """Return the body that adds a grant to a user, with room for the number of its payment."""
    payment = {"method": "card", "transaction_id": f"{run}-%09d", "amount": 100, "currency": "eur"}
    record = {"user_id": user_id(index), "amount": 100, "days": 30, "payment": payment}
    return json.dumps(record).encode()


class Connection:
    """One keep-alive connection: its request in flight, and what has arrived of the answer."""

    __slots__ = ("answered", "received", "sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(0)  # Never waits: the selector does.
        self.sent_at = 0.0
        self.received = b""
        self.answered = b""
        """The last answer, where the next request depends on it."""


class Generator:
    """Sends the next request on a connection as soon as its last one is answered."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._next = requests_of(load)
        self._expected = b"201" if load.job in ("usage", CREDITS, PAIR) else b"200"
        self._selector = selectors.DefaultSelector()
        self._waiting = 0
        self._latencies: list[float] = []
        self._errors: Counter[str] = Counter()
        self._begin = time.perf_counter() + load.warm_up_seconds
        self._end = self._begin + load.seconds

    def run(self) -> Result:
        """Return what was measured."""
        for _ in range(self._load.connections):
            self._connect()
        cpu = None
        while (now := time.perf_counter()) < self._end:
            if cpu is None and now >= self._begin:
                cpu = cpu_seconds()
            self._turn()
        taken = cpu_seconds() - (cpu or 0.0)
        deadline = time.perf_counter() + DRAIN_SECONDS_MAX
        while self._waiting and time.perf_counter() < deadline:
            self._turn()
        if self._waiting:
            self._errors["no answer"] += self._waiting
        microseconds = [int(latency * 1e6) for latency in self._latencies]
        return Result(
            self._load.seconds, len(microseconds), microseconds, dict(self._errors), taken
        )

    def _turn(self) -> None:
        for key, _ in self._selector.select(POLL_SECONDS):
            self._receive(key.data)

    def _connect(self) -> None:
        try:
            connection = Connection(self._load.port)
        except OSError as error:
            self._errors[type(error).__name__] += 1
            time.sleep(RECONNECT_PAUSE_SECONDS)
            return
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        now = time.perf_counter()
        if now >= self._end:
            return
        if not hold_in(connection.answered):
            connection.sent_at = now
        self._waiting += 1
        try:
            connection.socket.send(
                self._next(connection.answered)
            )  # Smaller than any socket's buffer.
        except OSError as error:
            self._lose(connection, type(error).__name__)

    def _receive(self, connection: Connection) -> None:
        try:
            arrived = connection.socket.recv(RECEIVE_BYTES_MAX)
        except OSError as error:
            return self._lose(connection, type(error).__name__)
        if not arrived:
            return self._lose(connection, "connection closed")
        answer = connection.received + arrived
        if len(answer) < answer_length(answer):
            connection.received = answer
            return None
        connection.received = b""
        self._count(connection, answer)
        if self._load.job == PAIR:
            connection.answered = answer
        return self._send(connection)

    def _count(self, connection: Connection, answer: bytes) -> None:
        now = time.perf_counter()
        self._waiting -= 1
        if answer[9:12] != self._expected:
            self._errors[f"status {answer[9:12].decode(errors='replace')}"] += 1
        elif self._begin <= now < self._end and not hold_in(answer):
            self._latencies.append(now - connection.sent_at)

    def _lose(self, connection: Connection, reason: str) -> None:
        """Count an error, the warm-up's and the end's too, and connect again."""
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self._waiting -= 1
        self._errors[reason] += 1
        if time.perf_counter() < self._end:
            self._connect()


def answer_length(answer: bytes) -> float:
    """Return how long the whole answer is; infinite while its head has not arrived."""
    head_end = answer.find(HEAD_END)
    if head_end < 0:
        return float("inf")
    at = answer.find(LENGTH_FIELD, 0, head_end)
    if at < 0:
        at = answer[:head_end].lower().find(LENGTH_FIELD)
        assert at >= 0, "every answer says how long it is"
    start = at + len(LENGTH_FIELD)
    return head_end + len(HEAD_END) + int(answer[start : answer.find(b"\r", start)])


def cpu_seconds() -> float:
    """Return the processor time this process has taken so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    json.dump(asdict(Generator(Load(**json.load(sys.stdin))).run()), sys.stdout)
