"""A browser without windows: it keeps cookies, says where its forms come from, and follows nothing."""

import asyncio
import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import httpx

from actors.console.app import build_app
from actors.console.guard import Place
from actors.console.sessions import Link
from tests.builders.authors import NOON
from tests.fakes.http_service import ADMIN_KEY, NOWHERE, HttpService

HOME = "http://127.0.0.1:8001"
FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@dataclass
class Time:
    """The clocks of a console; a test moves them."""

    seconds: float = 1000.0
    now: datetime = NOON


class Browser:
    """Looks at one console, in this process."""

    def __init__(self, runner: asyncio.Runner, client: httpx.AsyncClient) -> None:
        self._runner = runner
        self._client = client
        self.origin: str | None = HOME

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._runner.run(self._client.get(path, headers=headers))

    def send(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        """Send a form as it is given."""
        origin = {} if self.origin is None else {"Origin": self.origin}
        return self._runner.run(self._client.post(path, data=fields, headers=origin | headers))

    def submit(self, page: httpx.Response, path: str, **fields: str) -> httpx.Response:
        """Send a form of a page, with all that the page hides in its forms."""
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
        return self.send(path, {name: html.unescape(value) for name, value in hidden} | fields)

    def sign_in(self, key: str = ADMIN_KEY) -> httpx.Response:
        return self.send("/sign-in", {"key": key})


@contextmanager
def browsing(
    service: HttpService, *, link: Link | None = None, time: Time | None = None
) -> Iterator[Browser]:
    """Yield a browser that is not signed in."""
    clocks = time or Time()
    place = Place.of("127.0.0.1", 8001, None)
    app = build_app(
        NOWHERE,
        place,
        link,
        transport=service.transport,
        now=lambda: clocks.now,
        clock=lambda: clocks.seconds,
    )
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(lifespan.__aenter__())
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url=HOME)
        yield Browser(runner, client)
        runner.run(client.aclose())
        runner.run(lifespan.__aexit__(None, None, None))
