"""The HTTP interface, as the console calls it: with the key of who is signed in.

ConsoleError
├── ServiceAwayError    nobody answers, or not in time
└── RefusedError        the service says no, and why
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

READ_SECONDS_MAX = 10.0
CONNECTIONS_MAX = 20


class ConsoleError(Exception):
    """What a page tells instead of its content."""


class ServiceAwayError(ConsoleError):
    """Nobody answers where the service should be."""


class RefusedError(ConsoleError):
    """The service says no."""

    def __init__(self, status: int, code: str, title: str, detail: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail


@asynccontextmanager
async def connected(
    address: str, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator["Service"]:
    """Yield the service at an address. Proxies of the environment are for the world outside."""
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
    async with httpx.AsyncClient(
        base_url=address,
        timeout=READ_SECONDS_MAX,
        limits=limits,
        trust_env=False,
        transport=transport,
    ) as client:
        yield Service(client)


class Service:
    """Calls the interface. Raises ConsoleError."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, key: str, path: str, **params: str | int | None) -> Any:
        """Return the JSON of a GET. A parameter that is None or empty is left out; `from_` is `from`."""
        given = {
            name.rstrip("_"): value for name, value in params.items() if value not in (None, "")
        }
        return await self._ask(key, "GET", path, params=given)

    async def send(
        self,
        key: str,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Any:
        """Return the JSON of a write; the same idempotency key does it once."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        content = None if body is None else dict(body)
        return await self._ask(key, method, path, json=content, headers=headers)

    async def get_or_none(self, key: str, path: str, **params: str | int | None) -> Any:
        """Return the JSON of a GET; None where that part of the service does not answer."""
        try:
            return await self.get(key, path, **params)
        except ServiceAwayError:
            return None
        except RefusedError as error:
            if error.status in (401, 403):
                raise
            return None

    async def missing(self) -> list[str] | None:
        """Return what `/readyz` waits for; None: nobody answers."""
        try:
            answer = await self._client.get("/readyz")
            found = answer.json()
        except (httpx.HTTPError, ValueError):
            return None
        if answer.is_success:
            return []
        return [str(part) for part in found.get("missing", ["the service"])]

    async def is_admin(self, key: str) -> bool:
        """Return whether a key may see the console. Raises ServiceAwayError."""
        try:
            await self.get(key, "/admin/shards")
        except RefusedError as error:
            if error.status in (401, 403, 422):
                return False
            raise
        return True

    async def _ask(
        self, key: str, method: str, path: str, *, headers: Mapping[str, str] = {}, **given: Any
    ) -> Any:
        headers = {**headers, "Authorization": f"Bearer {key}"}
        try:
            answer = await self._client.request(method, path, headers=headers, **given)
            found = answer.json() if answer.content else None
        except (httpx.HTTPError, ValueError) as error:  # ValueError: what answers is no service.
            raise ServiceAwayError from error
        if not answer.is_success:
            raise _refusal(answer.status_code, found)
        return found


def _refusal(status: int, problem: Any) -> RefusedError:
    told = problem if isinstance(problem, dict) else {}
    detail = str(told.get("detail") or "")
    named = [
        f"{error.get('field')}: {error.get('message')}"
        for error in told.get("errors") or ()
        if isinstance(error, dict)
    ]
    title = str(told.get("title") or f"The service answers {status}")
    return RefusedError(
        status, str(told.get("code", "")), title, "; ".join([detail, *named]).strip("; ")
    )
