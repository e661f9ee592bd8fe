"""The console of a fake service on a real socket, in a thread of this process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import uvicorn

from actors.console.app import build_app
from actors.console.guard import Place
from actors.console.sessions import Link
from bench.processes import free_port
from tests.builders.authors import NOON
from tests.fakes.http_service import ADMIN_KEY, EXAMPLES, NOWHERE, HttpService
from tests.fakes.interface import Server
from tests.patience import PATIENCE_SECONDS

KEY_ID = EXAMPLES["KeyPage"]["items"][0]["key_id"]
ENDPOINT_ID = EXAMPLES["EndpointRecord"]["endpoint_id"]
RECORD = EXAMPLES["UsagePage"]["items"][0]
USAGE = {"id": "ada", "usage": RECORD["usage_id"], "at": RECORD["timestamp"]}
HOLD = {"id": "ada", "hold": EXAMPLES["OpenHolds"]["holds"][0]["hold_id"]}
SUBSCRIPTION = {
    "id": "ada",
    "subscription": EXAMPLES["UserSubscriptions"]["subscriptions"][0]["subscription_id"],
}
PAGES = {
    "overview": "/",
    "users": "/subscriptions",
    "users-left": "/subscriptions/left?order=least",
    "user": "/user?id=ada",
    "add": "/user/add?id=ada",
    "adjust": "/user/adjust?id=ada",
    "reverse": f"/user/reverse?{urlencode(USAGE)}",
    "release": f"/user/release?{urlencode(HOLD)}",
    "change": f"/user/change?{urlencode(SUBSCRIPTION)}",
    "refusals": "/refusals",
    "events": "/events",
    "endpoints": "/endpoints",
    "make-endpoint": "/endpoints/make",
    "change-endpoint": f"/endpoints/change?endpoint={ENDPOINT_ID}",
    "rotate-endpoint": f"/endpoints/rotate?endpoint={ENDPOINT_ID}",
    "remove-endpoint": f"/endpoints/remove?endpoint={ENDPOINT_ID}",
    "sweeps": "/sweeps",
    "shards": "/shards",
    "prices": "/prices?service=chat&model=small-2&count=2500",
    "keys": "/keys",
    "make-key": "/keys/make",
    "rotate-key": f"/keys/rotate?key={KEY_ID}",
    "revoke-key": f"/keys/revoke?key={KEY_ID}",
    "audit": "/audit",
}
"""Every page that is looked at, by a name for its picture."""


@dataclass(frozen=True)
class Site:
    """Where the console listens, and the link that signs in once."""

    address: str
    link: str


@contextmanager
def console_site(service: HttpService) -> Iterator[Site]:
    """Serve as long as the block. It is noon there."""
    port, ready = free_port(), threading.Event()
    link = Link(ADMIN_KEY, lambda: 0.0)
    servers: list[Server] = []

    async def serve() -> None:
        app = build_app(
            NOWHERE,
            Place.of("127.0.0.1", port, None),
            link,
            transport=service.transport,
            now=lambda: NOON,
        )
        config = uvicorn.Config(app, port=port, log_level="critical")
        servers.append(Server(config))
        ready.set()
        await servers[0]._serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(PATIENCE_SECONDS)
    assert servers[0].listens.wait(PATIENCE_SECONDS)
    address = f"http://127.0.0.1:{port}"
    try:
        yield Site(address, f"{address}/sign-in#once={link.token}")
    finally:
        servers[0].should_exit = True
        thread.join(PATIENCE_SECONDS)
