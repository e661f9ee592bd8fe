"""What one user, one key or a stranger does beside the others' work. Each call blocks until it is over."""

import asyncio
import contextlib
import itertools
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx
import jwt

from tests.fakes.http2 import begun_posts
from tests.service.attack import answer_all

CONNECTIONS = 64
STREAMS, IDLE, HTTP2 = 500, 4_000, 400
LISTER, SPENDER, BROKEN, PAYER = "lister", "spender", "broken", "payer"
KEY = {"Idempotency-Key": "k"}
SECRET = "the secret of the users' tokens, long enough"
ANOTHER_SOURCE = "127.0.0.2"  # From where those connect that ask for nothing.
SETTLE_SECONDS = 1.0  # How long what is refused may take to be so.
ASK_AGAIN_SECONDS = 2.0  # A refused stream, or a connection that was closed, is asked for again.
GRANTS_MAX = 1_000  # Of one subscription, as the service has it.
LONGEST = {"method": "\U0001f4b3" * 64, "currency": "\U0001f4b3" * 16}
"""Texts of a payment, as long as they may be; each character has four bytes."""

Send = Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]


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


async def list_records(client: httpx.AsyncClient, _: int) -> httpx.Response:
    return await client.get("/subscription/usage", params={"user_id": LISTER, "limit": 1000})


async def charge_too_much(client: httpx.AsyncClient, _: int) -> httpx.Response:
    return await client.post("/subscription/usage", json=charge(SPENDER, 2**52))


async def charge_somebody_unknown(client: httpx.AsyncClient, number: int) -> httpx.Response:
    return await client.post("/subscription/usage", json=charge(f"unknown-{number}", 1))


async def repeat_what_is_spoilt(client: httpx.AsyncClient, _: int) -> httpx.Response:
    return await client.post("/subscription/usage", json=charge(BROKEN, 1), headers=KEY)


def adding_grants(length: int) -> Send:
    """Return what gives one user after the other up to a thousand grants; it charges each in between."""

    async def add(client: httpx.AsyncClient, number: int) -> httpx.Response:
        user = f"{PAYER}-{length}-{number // (2 * GRANTS_MAX)}"
        if number % 2:
            return await client.post("/subscription/usage", json=charge(user, 1))
        payment = longest_payment(number, length)
        body = {"user_id": user, "amount": 1000, "days": 30, "payment": payment}
        return await client.post("/subscription/credits", json=body)

    return add


SENDS: dict[str, Send] = {
    "lists": list_records,
    "refused charges": charge_too_much,
    "unknown users": charge_somebody_unknown,
    "a spoilt entry": repeat_what_is_spoilt,
    "grants with the longest texts": adding_grants(256),
    "a thousand grants": adding_grants(40),  # Ids as long as a thousand may be.
}


def client_of(url: str, key: str, connections: int = CONNECTIONS) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
    )


def send(target: Target, kind: str) -> Counter[str]:
    """Send as much as so many connections can; return what was answered, by status."""
    return asyncio.run(_send(target, SENDS[kind]))


def send_elsewhere(target: Target) -> Counter[str]:
    """Send the same to a sink in this process: what is left of it is what attackers take themselves."""

    async def run() -> Counter[str]:
        async with await asyncio.start_server(answer_all, "127.0.0.1", 0) as sink:
            url = f"http://127.0.0.1:{sink.sockets[0].getsockname()[1]}"
            return await _send(target._replace(url=url), list_records)

    return asyncio.run(run())


async def _send(target: Target, one: Send) -> Counter[str]:
    answers: Counter[str] = Counter()
    numbers, loop = itertools.count(), asyncio.get_running_loop()
    until = loop.time() + target.seconds
    async with client_of(target.url, target.key) as client:

        async def connection() -> None:
            while loop.time() < until:
                try:
                    answers[str((await one(client, next(numbers))).status_code)] += 1
                except httpx.TransportError:
                    answers["no answer"] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(connection())
    return answers


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


def open_streams(target: Target) -> Counter[str]:
    """Have one user ask for so many event streams; return how many were open at most."""
    until = datetime.now(UTC) + timedelta(seconds=target.seconds + 300)
    token = jwt.encode({"sub": LISTER, "exp": until}, SECRET, "HS256")
    client, streams = client_of(target.url, token, STREAMS), Open()

    async def one() -> None:
        with contextlib.suppress(httpx.TransportError):
            async with client.stream("GET", "/events") as answer:
                if answer.status_code == 200:
                    with streams:
                        async for _ in answer.aiter_raw():
                            pass

    held_for(target.seconds, STREAMS, one)
    return Counter({f"of {STREAMS} open": streams.most})


def open_connections(target: Target, many: int, source: str, sent: bytes) -> Counter[str]:
    """Open so many connections that send no request that could end; each again where it is closed."""
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


def open_idle(target: Target) -> Counter[str]:
    return open_connections(target, IDLE, ANOTHER_SOURCE, b"")


def open_http2(target: Target) -> Counter[str]:
    return open_connections(target, HTTP2, ANOTHER_SOURCE, begun_posts())


HOLDERS: dict[str, Callable[[Target], Counter[str]]] = {
    "event streams": open_streams,
    "idle connections": open_idle,
    "HTTP/2 connections": open_http2,
}
