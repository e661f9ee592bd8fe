"""What one connection between two processes may carry, and what becomes of one that wants more."""

import asyncio
import contextlib
import errno
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.routing import wire
from actors.routing.wire import FRAME_BYTES_MAX, REQUESTS_MAX, Connection, Endpoint
from tests.fakes.shards import in_loop, until
from tests.patience import PATIENCE_SECONDS

HEAD = struct.Struct("<II")
HERE = "127.0.0.1"
Raw = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def length_of(body: bytes) -> bytes:
    return str(len(body)).encode()


@contextlib.asynccontextmanager
async def serving(
    answer: Callable[[bytes], Awaitable[bytes]] = length_of,
) -> AsyncIterator[Endpoint]:
    server, endpoint = await wire.serve(answer, HERE)
    try:
        yield endpoint
    finally:
        server.close()
        await until(lambda: len(asyncio.all_tasks()) == 1)  # Its connections have ended, too.


@contextlib.asynccontextmanager
async def raw(endpoint: Endpoint, *sent: bytes) -> AsyncIterator[Raw]:
    """Connect as a process would that is not of ours, and send some bytes."""
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    with contextlib.closing(writer):
        for piece in sent:
            writer.write(piece)
        yield reader, writer


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Whether the other end closes the connection without a word."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            return not await reader.read()
        except ConnectionError:
            return True


@in_loop
async def test_a_frame_of_the_longest_length_is_answered() -> None:
    async with serving() as endpoint:
        connection = await Connection.open(endpoint)
        answer = await connection.ask(bytes(FRAME_BYTES_MAX))
        await connection.close()

    assert answer == str(FRAME_BYTES_MAX).encode()


@in_loop
async def test_a_longer_frame_ends_its_connection_before_it_is_read_and_no_other() -> None:
    async with serving() as endpoint:
        other = await Connection.open(endpoint)
        head = HEAD.pack(1, FRAME_BYTES_MAX + 1)
        async with raw(endpoint, endpoint.secret, head) as (reader, _):
            assert await is_closed(reader)
        answer = await other.ask(b"four")
        await other.close()

    assert answer == b"4"


@in_loop
async def test_an_answer_that_is_longer_is_lost_to_who_asked() -> None:
    async def tell_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await reader.readexactly(wire.SECRET_BYTES + HEAD.size)
            writer.write(HEAD.pack(1, FRAME_BYTES_MAX + 1))
            await reader.read()

    server = await asyncio.start_server(tell_too_much, HERE, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = await Connection.open(Endpoint(HERE, port, bytes(wire.SECRET_BYTES)))
        with pytest.raises(ConnectionError, match="was lost") as lost:
            await connection.ask(b"")

    assert f"a frame of {FRAME_BYTES_MAX + 1} bytes is too long" in str(lost.value.__cause__)
    assert connection.is_lost


@in_loop
async def test_so_many_requests_of_a_connection_are_worked_on_and_others_have_their_turn() -> None:
    begun, go_on = 0, asyncio.Event()

    async def slowly(body: bytes) -> bytes:
        nonlocal begun
        if body != b"other":
            begun += 1
            await go_on.wait()
        return body

    async with serving(slowly) as endpoint:
        many, other = await Connection.open(endpoint), await Connection.open(endpoint)
        asked = [asyncio.create_task(many.ask(b"")) for _ in range(REQUESTS_MAX + 100)]
        await until(lambda: begun == REQUESTS_MAX)
        for _ in range(10):  # Another connection is answered all the while, and no more is begun.
            assert await other.ask(b"other") == b"other"
        most = begun
        go_on.set()
        answers = await asyncio.gather(*asked)
        await many.close()
        await other.close()

    assert (most, begun, len(answers)) == (REQUESTS_MAX, REQUESTS_MAX + 100, REQUESTS_MAX + 100)


@in_loop
async def test_who_waits_for_a_machine_that_is_lost_or_asks_it_then_is_told_so() -> None:
    unreachable = OSError(errno.EHOSTUNREACH, "No route to host")
    never = asyncio.Event()

    async def wait(body: bytes) -> bytes:
        await never.wait()
        return body

    async with serving(wait) as endpoint:
        connection = await Connection.open(endpoint)
        waiting = asyncio.create_task(connection.ask(b""))
        await until(lambda: connection._waiting)
        connection._writer.transport.get_protocol().connection_lost(unreachable)
        with pytest.raises(ConnectionError, match="was lost") as later:
            await connection.ask(b"")
        with pytest.raises(ConnectionError, match="was lost") as lost:
            await waiting
        never.set()
        await connection.close()

    assert lost.value.__cause__ is later.value.__cause__ is unreachable


def test_who_asks_the_moment_a_connection_breaks_is_told_that_it_is_lost() -> None:
    """Ray's actors and the HTTP replica run on uvloop, where a broken connection refuses to be written to."""
    uvloop = pytest.importorskip("uvloop")

    async def ask_as_it_breaks() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), serving() as endpoint:
            connection = await Connection.open(endpoint)
            connection._writer.transport.abort()
            await asyncio.sleep(0)
            assert not connection.is_lost, "its reader has not heard of it yet"
            with pytest.raises(ConnectionError, match="was lost"):
                await connection.ask(b"")
            await connection.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask_as_it_breaks())


@pytest.mark.parametrize("shown", [b"", b"half", bytes(wire.SECRET_BYTES)])
@in_loop
async def test_who_does_not_show_the_secret_in_time_is_disconnected(
    shown: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "HANDSHAKE_SECONDS_MAX", 0.05)
    asked = False

    async def answer(body: bytes) -> bytes:
        nonlocal asked
        asked = True
        return body

    async with serving(answer) as endpoint, raw(endpoint, shown) as (reader, writer):
        closed = await is_closed(reader)
        with contextlib.suppress(ConnectionError):
            writer.write(HEAD.pack(1, 0))
            await writer.drain()

    assert closed
    assert not asked
