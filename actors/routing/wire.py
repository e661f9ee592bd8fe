"""Messages between two processes over a socket: framed bytes, answered in any order.

Ray spends about a millisecond of two cores on a message; a socket that stays open spends a
hundredth of it. Who connects must first show the secret, which the server's owner hands out.
"""

import asyncio
import contextlib
import hmac
import io
import logging
import pickle
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Self

from actors.protocol.calls import Envelope
from actors.runtime.tracing import Parent

FRAME_BYTES_MAX = 64 * 1024 * 1024  # A longer frame ends its connection.
REQUESTS_MAX = 1_000  # Requests of one connection being answered; beyond this it is not read.
HANDSHAKE_SECONDS_MAX = 2.0
SILENCE_SECONDS_MAX = 5.0  # A machine that has not acknowledged what it was sent so long is lost.
SECRET_BYTES = 32

_HEAD = struct.Struct("<II")  # Number of the request, bytes of the frame's body.

Responder = Callable[[bytes], Awaitable[bytes]]
PICKLE_PROTOCOL = 5
logger = logging.getLogger(__name__)


def packed(envelope: Envelope, parents: Sequence[Parent]) -> bytes:
    """Return an envelope as a message, and behind it the spans that it travels for.

    Whoever looks for none, such as a shard of an older version, reads the envelope alone.
    """
    message = pickle.dumps(envelope, PICKLE_PROTOCOL)
    return message + pickle.dumps(tuple(parents), PICKLE_PROTOCOL) if parents else message


def unpacked(message: bytes) -> tuple[Envelope, Sequence[Parent]]:
    """Return an envelope and the spans that it travels for."""
    file = io.BytesIO(message)
    envelope: Envelope = pickle.load(file)  # noqa: S301 - a process of ours made it
    more = file.read()
    return envelope, pickle.loads(more) if more else ()  # noqa: S301 - the same


class Endpoint(NamedTuple):
    """Where a server listens, and what it must be shown."""

    host: str
    port: int
    secret: bytes


async def serve(answer: Responder, host: str) -> tuple[asyncio.Server, Endpoint]:
    """Answer requests on a free port of `host` as long as the server is kept."""
    secret = secrets.token_bytes(SECRET_BYTES)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            if await _has_secret(reader, secret):
                await _answer_all(reader, writer, answer)

    server = await asyncio.start_server(connected, host, 0)
    return server, Endpoint(host, server.sockets[0].getsockname()[1], secret)


async def _has_secret(reader: asyncio.StreamReader, secret: bytes) -> bool:
    with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        async with asyncio.timeout(HANDSHAKE_SECONDS_MAX):
            return hmac.compare_digest(await reader.readexactly(SECRET_BYTES), secret)
    return False


async def _answer_all(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Responder
) -> None:
    free = asyncio.Semaphore(REQUESTS_MAX)

    async def answer_one(number: int, body: bytes) -> None:
        try:
            _write(writer, number, await answer(body))
            await writer.drain()
        except ConnectionError:
            pass  # The caller has gone.
        except Exception:
            logger.exception("a request failed")
            writer.close()  # The caller counts it as lost.
        finally:
            free.release()

    tasks: set[asyncio.Task[None]] = set()
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            number, body = await _read(reader)
            await free.acquire()
            task = asyncio.create_task(answer_one(number, body))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


class Connection:
    """One open way to a server. Every call may raise ConnectionError; then it is of no more use."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._number = 0
        self._receiving = asyncio.create_task(self._receive(reader))

    @classmethod
    async def open(cls, endpoint: Endpoint) -> Self:
        """Connect and show the secret. Raises OSError, TimeoutError."""
        async with asyncio.timeout(HANDSHAKE_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        _notice_lost_machine(writer)
        writer.write(endpoint.secret)
        return cls(reader, writer)

    @property
    def is_lost(self) -> bool:
        return self._receiving.done()

    async def ask(self, body: bytes) -> bytes:
        """Return the answer to one request."""
        if self.is_lost:
            raise ConnectionResetError("the connection was lost")
        self._number = number = (self._number + 1) % 2**32
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            _write(self._writer, number, body)
            await self._writer.drain()
            return await answer
        except ConnectionError:
            raise
        except OSError as error:  # The other machine is lost: it is unreachable, or silent.
            raise ConnectionResetError("the connection was lost") from error
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """Close the connection. What waits on it is lost."""
        self._receiving.cancel()
        await asyncio.wait([self._receiving])

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                number, body = await _read(reader)
                answer = self._waiting.get(number)
                if answer is not None and not answer.done():  # Its caller may have gone.
                    answer.set_result(body)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError) as error:
            lost = ConnectionResetError("the connection was lost")
            lost.__cause__ = error
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(lost)
            self._writer.close()


def _notice_lost_machine(writer: asyncio.StreamWriter) -> None:
    """Have the system end the connection when the other machine is gone without a word.

    It would wait a quarter of an hour. A process there that hangs is not concerned: its system
    acknowledges for it.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux.
        milliseconds = int(SILENCE_SECONDS_MAX * 1000)
        opened = writer.get_extra_info("socket")
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _write(writer: asyncio.StreamWriter, number: int, body: bytes) -> None:
    """Send a frame. Raises ConnectionError."""
    if writer.is_closing():  # Else uvloop raises RuntimeError.
        raise ConnectionResetError("the connection was lost")
    writer.write(_HEAD.pack(number, len(body)) + body)


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    number, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    if length > FRAME_BYTES_MAX:
        raise ConnectionError(f"a frame of {length} bytes is too long")
    return number, await reader.readexactly(length)
