"""The operation that shows what was not delivered or not applied."""

from typing import Any

from fastapi import Depends, FastAPI

from actors.api_keys import Scope
from actors.edge.backend import Backend, allow
from actors.edge.responses import problems
from actors.edge.stripe import stripe_events
from actors.failures import UnavailableError
from actors.store import StoreError


def add_event_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operation that lists events which wait or are dead."""
    admin = Depends(allow(Scope.ADMIN, backend))

    @app.get("/admin/events", dependencies=[admin], responses=problems())
    async def list_events() -> dict[str, Any]:
        """Return dead letters first, then events that wait."""
        try:
            return {"stripe": await stripe_events(backend.stripe.store)}
        except StoreError:
            raise UnavailableError from None
