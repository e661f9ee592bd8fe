"""How fast a web server takes connections that come at once while it is busy."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop
from starlette.responses import PlainTextResponse
from uvicorn import Config, Server
from uvicorn.config import HTTP_PROTOCOLS

from actors.serving import shortcut
from tests.patience import PATIENCE_SECONDS

CONNECTIONS = 200
TURN_SECONDS = 0.002


@pytest.fixture(autouse=True)
def _in_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have web servers of this process be as Serve starts them in a replica."""
    monkeypatch.setattr(Server, "startup", Server.startup)
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])
    shortcut.middlewares()


@asynccontextmanager
async def web_server() -> AsyncIterator[tuple[Server, int]]:
    """Run a web server on a socket, as Serve does; yield it and its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = Config(PlainTextResponse(""), log_config=None, lifespan="off")
    server = Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not server.started:
            await asyncio.sleep(0)
        yield server, port
        server.should_exit = True
        await serving


def connected(port: int) -> socket.socket:
    """Return a connection that the system has made; no program need have taken it."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)


async def turns_to_take_all() -> int:
    async with web_server() as (server, port):
        connections = [connected(port) for _ in range(CONNECTIONS)]
        turns = 0
        while len(server.server_state.connections) < CONNECTIONS:
            time.sleep(TURN_SECONDS)  # noqa: ASYNC251 - what a busy loop does
            await asyncio.sleep(0)
            turns += 1
        for connection in connections:
            connection.close()
        return turns


def test_connections_that_come_at_once_are_taken_in_a_few_turns() -> None:
    assert uvloop.run(turns_to_take_all()) < CONNECTIONS / 10


async def port_after_the_end() -> int:
    async with web_server() as (_, port):
        connected(port).close()
    return port


def test_a_web_server_that_has_ended_listens_no_more() -> None:
    port = uvloop.run(port_after_the_end())

    with pytest.raises(ConnectionRefusedError):
        connected(port)
