"""What the edge stands on, and who may use it."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from actors.api_keys import KeyRing, Scope
from actors.edge.problems import RequestRefused, make_problem
from actors.reports import ShardReport
from actors.router import Router
from actors.store import StorageUnavailableError

BEARER = HTTPBearer(auto_error=False, description="An API key.")


class Backend(Protocol):
    """What the edge stands on."""

    router: Router
    keys: KeyRing

    async def reports(self) -> list[ShardReport]:
        """Return a report of every shard. ShardLostError: one did not answer."""

    async def missing(self) -> list[str]:
        """Return which parts of the service do not answer."""


def allow(scope: Scope, backend: Backend) -> Callable[..., Awaitable[None]]:
    """Return the check that a request carries a key of at least this scope."""

    async def check(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        try:
            found = await backend.keys.scope_of(credentials.credentials) if credentials else None
        except StorageUnavailableError:
            title = "Keys cannot be checked now; try again later"
            raise RequestRefused(make_problem("storage_unavailable", title)) from None
        if found is None:
            title = "A valid API key is needed"
            raise RequestRefused(make_problem("unauthorized", title))
        if found < scope:
            title = f"The key needs the scope {scope.name.lower()}"
            raise RequestRefused(make_problem("forbidden", title))

    return check
