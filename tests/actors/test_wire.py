"""Requests over a socket: answered in any order, lost with their connection, for friends only."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from actors import wire
from actors.wire import Connection, Endpoint, serve
from tests.actors.running import in_loop

HOST = "127.0.0.1"


@asynccontextmanager
async def served(answer: wire.Answer) -> AsyncIterator[Endpoint]:
    server, endpoint = await serve(answer, HOST)
    yield endpoint
    server.close()


@asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[Connection]:
    connection = await Connection.open(endpoint)
    yield connection
    await connection.close()


async def echo(body: bytes) -> bytes:
    return body


def holding(gate: asyncio.Event) -> Callable[[bytes], Awaitable[bytes]]:
    async def answer(body: bytes) -> bytes:
        if body == b"slow":
            await gate.wait()
        return body

    return answer


@in_loop
async def test_answers_come_in_the_order_they_are_ready() -> None:
    gate = asyncio.Event()
    async with served(holding(gate)) as endpoint, connected(endpoint) as connection:
        slow = asyncio.create_task(connection.ask(b"slow"))
        quick = await connection.ask(b"quick")
        gate.set()

        assert quick == b"quick"
        assert await slow == b"slow"


@in_loop
async def test_many_requests_of_many_callers_keep_to_themselves() -> None:
    async with served(echo) as endpoint, connected(endpoint) as connection:
        bodies = [b"%d" % number * (number + 1) for number in range(3 * wire.REQUESTS_MAX)]

        answers = await asyncio.gather(*map(connection.ask, bodies))

        assert answers == bodies


@in_loop
async def test_a_caller_that_leaves_disturbs_nobody() -> None:
    gate = asyncio.Event()
    async with served(holding(gate)) as endpoint, connected(endpoint) as connection:
        leaving = asyncio.create_task(connection.ask(b"slow"))
        staying = asyncio.create_task(connection.ask(b"slow"))
        await connection.ask(b"both have been sent")

        leaving.cancel()
        gate.set()

        assert await staying == b"slow"
        assert await connection.ask(b"next") == b"next"


@in_loop
async def test_what_waits_on_a_lost_connection_is_told_so() -> None:
    async def fail(_: bytes) -> bytes:
        raise RuntimeError("broken")

    async with served(fail) as endpoint, connected(endpoint) as connection:
        with pytest.raises(ConnectionError):
            await connection.ask(b"first")
        with pytest.raises(ConnectionError):
            await connection.ask(b"second")

        assert connection.is_lost


@in_loop
async def test_without_the_secret_nothing_is_read() -> None:
    asked: list[bytes] = []

    async def note(body: bytes) -> bytes:
        asked.append(body)
        return body

    async with (
        served(note) as endpoint,
        connected(endpoint._replace(secret=bytes(wire.SECRET_BYTES))) as stranger,
    ):
        with pytest.raises(ConnectionError):
            await stranger.ask(b"hello")

        assert asked == []


@in_loop
async def test_a_frame_beyond_the_limit_ends_its_connection() -> None:
    async with served(echo) as endpoint:
        reader, writer = await asyncio.open_connection(HOST, endpoint.port)

        writer.write(endpoint.secret + struct.pack("<II", 1, wire.FRAME_BYTES_MAX + 1))

        assert await reader.read() == b""
        writer.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="a timeout of Linux")
@in_loop
async def test_a_machine_that_is_gone_without_a_word_ends_its_connections() -> None:
    async with served(echo) as endpoint, connected(endpoint) as connection:
        await connection.ask(b"here")
        opened = connection._writer.get_extra_info("socket")
        milliseconds = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    assert milliseconds == wire.SILENCE_SECONDS_MAX * 1000
