"""What one user, one key or a stranger does beside the others' work. Each call blocks until it is over."""

import asyncio
import contextlib
import itertools
import json
import resource
import selectors
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

import httpx
import jwt

from bench.load import RECEIVE_BYTES_MAX, RECONNECT_PAUSE_SECONDS, Connection, answer_length
from tests.fakes.http2 import begun_posts

CONNECTIONS = 64
STREAMS, IDLE, HTTP2 = 500, 4_000, 400
LISTER, SPENDER, BROKEN, PAYER = "lister", "spender", "broken", "payer"
KEY = {"Idempotency-Key": "k"}
SECRET = "the secret of the users' tokens, long enough"
LOOPBACK = "127.0.0.1"
ANOTHER_SOURCE = "127.0.0.2"  # From where those connect that ask for nothing.
SETTLE_SECONDS = 1.0  # How long what is refused may take to be so.
ASK_AGAIN_SECONDS = 2.0  # A refused stream, or a connection that was closed, is asked for again.
GRANTS_MAX = 1_000  # Of one subscription, as the service has it.
LONGEST = {"method": "\U0001f4b3" * 64, "currency": "\U0001f4b3" * 16}
"""Texts of a payment, as long as they may be; each character has four bytes."""

Send = Callable[[int], bytes]
"""Makes the request with a number, without what shows the key."""


class Target(NamedTuple):
    """What is attacked, and for how long."""

    url: str
    key: str
    seconds: float


def charge(user_id: str, amount: int, **more: object) -> dict[str, object]:
    return {"user_id": user_id, "service_type": "chat", "credit_amount": amount} | more


def longest_payment(number: int, length: int) -> dict[str, object]:
    """Return what is said of a payment in texts that are as long as they may be, its id of a length."""
    return LONGEST | {"transaction_id": f"{number:0>6}".ljust(length, "\U0001f4b3"), "amount": 1}


def get(path: str, **query: object) -> bytes:
    return f"GET {path}?{urlencode(query)} HTTP/1.1\r\n\r\n".encode()


def post(path: str, body: object, **fields: str) -> bytes:
    sent = json.dumps(body).encode()
    named = {"Content-Type": "application/json", "Content-Length": len(sent)} | fields
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + sent


def list_records(_: int) -> bytes:
    return get("/subscription/usage", user_id=LISTER, limit=1000)


def charge_one(_: int) -> bytes:
    return post("/subscription/usage", charge(LISTER, 1))


def ask_for_status(_: int) -> bytes:
    return get("/subscription/status", user_id=LISTER)


def charge_many(_: int) -> bytes:
    return post("/subscription/usage/batch", {"records": [charge(LISTER, 1)] * 100})


def charge_too_much(_: int) -> bytes:
    return post("/subscription/usage", charge(SPENDER, 2**52))


def charge_somebody_unknown(number: int) -> bytes:
    return post("/subscription/usage", charge(f"unknown-{number}", 1))


def repeat_what_is_spoilt(_: int) -> bytes:
    return post("/subscription/usage", charge(BROKEN, 1), **KEY)


def adding_grants(length: int) -> Send:
    """Return what gives one user after the other up to a thousand grants; it charges each in between."""

    def add(number: int) -> bytes:
        user = f"{PAYER}-{length}-{number // (2 * GRANTS_MAX)}"
        if number % 2:
            return post("/subscription/usage", charge(user, 1))
        payment = longest_payment(number, length)
        body = {"user_id": user, "amount": 1000, "days": 30, "payment": payment}
        return post("/subscription/credits", body)

    return add


SENDS: dict[str, Send] = {
    "lists": list_records,
    "statuses": ask_for_status,
    "charges": charge_one,
    "batches of charges": charge_many,
    "refused charges": charge_too_much,
    "unknown users": charge_somebody_unknown,
    "a spoilt entry": repeat_what_is_spoilt,
    "grants with the longest texts": adding_grants(256),
    "a thousand grants": adding_grants(40),  # Ids as long as a thousand may be.
}


def client_of(url: str, key: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=60, limits=limits)


class Callers:
    """As many requests as so many connections can send, over raw sockets: the less of the machine is their own."""

    def __init__(self, target: Target, requests: Iterator[bytes]) -> None:
        url = httpx.URL(target.url)
        self._port = url.port or 80
        self._seconds = target.seconds
        self._requests = requests
        self._common = f"Host: {url.host}\r\nAuthorization: Bearer {target.key}\r\n".encode()
        self._selector = selectors.DefaultSelector()
        self._answers: Counter[str] = Counter()

    def run(self) -> Counter[str]:
        """Send for so long; return what was answered, by status."""
        until = time.monotonic() + self._seconds
        for _ in range(CONNECTIONS):
            self._connect()
        while (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                self._receive(key.data)
        for key in list(self._selector.get_map().values()):
            self._leave(key.data)
        self._selector.close()
        return self._answers

    def _connect(self) -> None:
        connection = Connection(self._port)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        self._ask(connection)

    def _leave(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def _ask(self, connection: Connection) -> None:
        line, _, rest = next(self._requests).partition(b"\r\n")
        connection.received = b""
        connection.socket.sendall(b"%s\r\n%s%s" % (line, self._common, rest))

    def _receive(self, connection: Connection) -> None:
        try:
            arrived = connection.socket.recv(RECEIVE_BYTES_MAX)
            connection.received += arrived
            if not arrived:
                raise ConnectionAbortedError
            if len(connection.received) >= answer_length(connection.received):
                self._answers[connection.received[9:12].decode()] += 1
                self._ask(connection)
        except OSError:
            self._answers["no answer"] += 1
            self._leave(connection)
            time.sleep(RECONNECT_PAUSE_SECONDS)
            self._connect()


def send(target: Target, kind: str) -> Counter[str]:
    """Send as much as so many connections can; return what was answered, by status."""
    return Callers(target, map(SENDS[kind], itertools.count())).run()


def send_elsewhere(target: Target) -> Counter[str]:
    """Send to a sink of this process: what is left of it is what attackers take themselves."""

    async def run() -> Counter[str]:
        async with await asyncio.start_server(refuse_all, "127.0.0.1", 0) as sink:
            url = f"http://127.0.0.1:{sink.sockets[0].getsockname()[1]}"
            return await asyncio.to_thread(send, target._replace(url=url), "lists")

    return asyncio.run(run())


async def refuse_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuse all requests of a connection."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError), contextlib.closing(writer):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


# --- what is held open ----------------------------------------------------------------------


class Open:
    """How many of something are open, and were at most."""

    def __init__(self) -> None:
        self._now = self.most = 0

    def __enter__(self) -> None:
        self._now += 1
        self.most = max(self.most, self._now)

    def __exit__(self, *_: object) -> None:
        self._now -= 1


def held_for(seconds: float, many: int, one: Callable[[], Awaitable[None]]) -> None:
    """Do something many times beside each other, each again as soon as it ends."""

    async def forever() -> None:
        while True:
            await one()
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def run() -> None:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(many):
                group.create_task(forever())

    with contextlib.suppress(TimeoutError):
        asyncio.run(run())


def open_connections(target: Target, many: int, source: str, sent: bytes) -> Counter[str]:
    """Open so many connections that send this and stay open; each again where it is closed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    url, connections = httpx.URL(target.url), Open()

    async def one() -> None:
        with contextlib.suppress(OSError), socket.socket() as opened:  # No name is looked up.
            opened.setblocking(False)
            opened.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(opened, (url.host, url.port))
            reader, writer = await asyncio.open_connection(sock=opened)
            with contextlib.closing(writer):
                writer.write(sent)
                ended = asyncio.ensure_future(reader.read())
                await asyncio.wait([ended], timeout=SETTLE_SECONDS)
                if not ended.done():
                    with connections:
                        await asyncio.wait([ended])
                ended.exception()

    held_for(target.seconds, many, one)
    return Counter({f"of {many} open": connections.most})


def open_streams(target: Target) -> Counter[str]:
    """Have one user ask for so many event streams; return how many were open at most."""
    until = datetime.now(UTC) + timedelta(seconds=target.seconds + 300)
    token = jwt.encode({"sub": LISTER, "exp": until}, SECRET, "HS256")
    head = f"Host: here\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    return open_connections(target, STREAMS, LOOPBACK, f"GET /events HTTP/1.1\r\n{head}".encode())


def open_idle(target: Target) -> Counter[str]:
    return open_connections(target, IDLE, ANOTHER_SOURCE, b"")


def open_http2(target: Target) -> Counter[str]:
    return open_connections(target, HTTP2, ANOTHER_SOURCE, begun_posts())


HOLDERS: dict[str, Callable[[Target], Counter[str]]] = {
    "event streams": open_streams,
    "idle connections": open_idle,
    "HTTP/2 connections": open_http2,
}
