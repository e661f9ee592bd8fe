"""A TCP proxy that refuses, or delays, what passes: a network that misbehaves."""

import asyncio
import contextlib

CHUNK_BYTES = 65_536


class SlowProxy:
    """Stands between the service and a port of this machine."""

    def __init__(self, target_port: int, host: str = "127.0.0.1") -> None:
        self.port = 0
        self.delay_seconds = 0.0
        """How long each answer of the target is held back."""
        self._target_port = target_port
        self._host = host
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def allow(self) -> None:
        """Take connections, on the same port as ever."""
        self._server = await asyncio.start_server(self._connected, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Cut all connections, and refuse new ones."""
        assert self._server is not None, "it was allowed"
        self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio runs this as a task"
        self._open.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            to, out = await asyncio.open_connection("127.0.0.1", self._target_port)
            with contextlib.closing(out):
                pumps = [
                    asyncio.create_task(self._pump(reader, out, delayed=False)),
                    asyncio.create_task(self._pump(to, writer, delayed=True)),
                ]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
        self._open.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if delayed and self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(chunk)
                await writer.drain()
