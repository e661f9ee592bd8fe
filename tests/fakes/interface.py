"""The whole interface on a real socket, in a thread of this process: no Ray, no database."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Request

from actors.auth.caller import Scope
from actors.auth.tokens import Tokens
from actors.edge.app import build_app
from actors.edge.heads import HeadProtocol
from actors.edge.origins import Shared
from bench.processes import free_port
from tests.builders.authors import NOON
from tests.builders.tokens import RULES
from tests.fakes.edge import LocalBackend, OneShard
from tests.fakes.memory_keys import Keys, made
from tests.fakes.memory_store import MemoryStore
from tests.fakes.shards import Clock, running
from tests.patience import PATIENCE_SECONDS

START_SECONDS_MAX = PATIENCE_SECONDS


@dataclass
class Listening:
    """Where the interface listens, and its keys."""

    port: int
    keys: dict[Scope, str]
    store: MemoryStore
    failures: list[BaseException] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def headers(self, scope: Scope = Scope.ADMIN) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[scope]}"}


class Server(uvicorn.Server):
    """A server that tells when it listens, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.listens.set()


def as_replica(app: ASGIApp) -> ASGIApp:
    """Return the application, with the answer that HAProxy asks a replica of Serve's for."""

    async def replica(scope: Request, receive: Receive, send: Send) -> None:
        health = PlainTextResponse("success")
        await (health if scope.get("path") == "/-/healthz" else app)(scope, receive, send)

    return replica


async def beside(loop: Coroutine[Any, Any, None], work: Awaitable[None]) -> None:
    """Run a loop as long as some work goes on."""
    running_loop = asyncio.create_task(loop)
    await work
    running_loop.cancel()
    await asyncio.wait([running_loop])


@contextlib.contextmanager
def listening(origins: Sequence[str] = ()) -> Iterator[Listening]:
    """Serve as long as the block, also pages of other origins."""
    store, keys = MemoryStore(), Keys()
    texts = {scope: made(keys, scope)[0] for scope in Scope}
    it = Listening(free_port(), texts, store)
    servers: list[Server] = []
    ready = threading.Event()

    async def serve() -> None:
        async with running(store, clock=Clock(NOON)) as shard:
            backend = LocalBackend(OneShard(shard, store), keys)
            backend.tokens = Tokens(RULES)
            config = uvicorn.Config(
                as_replica(Shared(build_app(backend), origins)),
                http=HeadProtocol,
                port=it.port,
                lifespan="off",
                log_level="critical",
            )
            servers.append(Server(config))
            ready.set()
            await beside(backend.relay.run(), servers[0]._serve())

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(START_SECONDS_MAX)
    assert servers[0].listens.wait(START_SECONDS_MAX)
    try:
        yield it
    finally:
        servers[0].should_exit = True
        thread.join(START_SECONDS_MAX)
