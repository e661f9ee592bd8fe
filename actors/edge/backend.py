"""What the edge stands on, and who may use it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from fastapi import Request, Security
from fastapi.security import HTTPBearer

from actors.agenda import Agenda
from actors.api_keys import KeyRing, Scope
from actors.edge.problems import RequestRefused, make_problem
from actors.edge.stripe import StripeDesk
from actors.operations import Operations
from actors.reports import ShardReport, SyncReport
from actors.router import Router
from actors.store import Overview, StorageUnavailableError

BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="An API key.")
NEEDS_KEY: list[dict[str, list[str]]] = [{"key": []}]
"""How an operation that calls `authorize` itself says so in its documentation."""


class Backend(Protocol):
    """What the edge stands on."""

    router: Router
    keys: KeyRing
    overview: Overview
    operations: Operations
    agenda: Agenda
    stripe: StripeDesk

    async def reports(self) -> list[ShardReport]:
        """Return a report of every shard. ShardLostError: one did not answer."""

    async def settle(self) -> None:
        """Wait until the views contain every answered write. ShardLostError: one did not answer."""

    async def sync_report(self) -> SyncReport:
        """Return how RAM follows MongoDB. ShardLostError: the synchronisation does not answer."""

    async def missing(self) -> list[str]:
        """Return which parts of the service do not answer."""


async def authorize(backend: Backend, request: Request, scope: Scope) -> None:
    """Refuse a request without a key of at least this scope."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    try:
        found = await backend.keys.scope_of(key.strip()) if scheme.lower() == "bearer" else None
    except StorageUnavailableError:
        title = "Keys cannot be checked now; try again later"
        raise RequestRefused(make_problem("storage_unavailable", title)) from None
    if found is None:
        title = "A valid API key is needed"
        raise RequestRefused(make_problem("unauthorized", title))
    if found < scope:
        title = f"The key needs the scope {scope.name.lower()}"
        raise RequestRefused(make_problem("forbidden", title))


def allow(scope: Scope, backend: Backend) -> Callable[..., Awaitable[None]]:
    """Return `authorize` as a dependency of an operation."""

    async def check(request: Request, _documented: object = Security(BEARER)) -> None:
        await authorize(backend, request, scope)

    return check
