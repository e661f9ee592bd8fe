"""An endpoint of webhooks as a process of its own, so that it can be killed.

Every webhook is appended to a file before it is answered: what the sender was told is there
whatever happens. Signatures are checked by whoever reads the file, so that the endpoint is quick.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from standardwebhooks import Webhook

from bench.processes import free_port
from tests.service.receiver import SECRET, Received

TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
STOP_SECONDS_MAX = 10.0


class Endpoint(asyncio.Protocol):
    """One connection: as much of HTTP as a client of ours speaks."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while b"\r\n\r\n" in self._unread:
            head, _, rest = self._unread.partition(b"\r\n\r\n")
            pairs = (line.partition(":") for line in head.decode().split("\r\n")[1:])
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            length = int(headers["content-length"])
            if len(rest) < length:
                return
            self._unread = rest[length:]
            body = rest[:length].decode()
            line = {"at": time.time(), "headers": headers, "body": body}  # noqa: TID251 - of its own
            os.write(self._file, json.dumps(line).encode() + b"\n")
            self._transport.write(TAKEN)


async def listen(port: int, path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Endpoint(file), "127.0.0.1", port)
    await server.serve_forever()


class ReceiverProcess:
    """Runs the endpoint, and reads what it has taken. As `Receiver`, but `stop` kills it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._path = folder / "received"
        self._path.touch()
        self._read_until = 0
        self._received: list[Received] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        program = [sys.executable, "-m", "tests.service.receiver_process"]
        self._process = subprocess.Popen([*program, str(self.port), str(self._path)])

    def stop(self) -> None:
        """Kill it, whatever it is doing."""
        assert self._process is not None, "it was started"
        self._process.kill()
        self._process.wait(STOP_SECONDS_MAX)

    def config(self, name: str) -> dict[str, Any]:
        """Return what the service must know of this endpoint."""
        return {"url": f"http://127.0.0.1:{self.port}/hooks", "secrets": [SECRET], "name": name}

    @property
    def received(self) -> list[Received]:
        """What was taken so far. To be read every minute at least: signatures grow old."""
        with self._path.open("rb") as file:
            file.seek(self._read_until)
            lines = file.read().split(b"\n")
        self._read_until += sum(len(line) + 1 for line in lines[:-1])
        for line in lines[:-1]:
            one = json.loads(line)
            event = Webhook(SECRET).verify(one["body"], one["headers"])
            taken = Received(event, one["headers"], one["body"].encode(), one["at"])
            self._received.append(taken)
        return self._received


if __name__ == "__main__":
    asyncio.run(listen(int(sys.argv[1]), sys.argv[2]))
