"""The operations that compare with Stripe."""

import asyncio

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from actors.auth.caller import Scope
from actors.edge.backend import Backend, allow
from actors.edge.problems import RequestRefused, make_problem
from actors.edge.responses import problems, written
from actors.protocol.errors import UnavailableError
from actors.protocol.reports import SweepReport
from actors.protocol.store import StoreError


class Progress(BaseModel):
    """How far a comparison with Stripe has come."""

    running: bool
    kind: str | None = None
    checked: int = 0
    differed: int = 0


def add_reconciling_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations that compare with Stripe."""
    admin = Depends(allow(Scope.ADMIN))

    @app.post("/admin/stripe/reconcile", dependencies=[admin], responses=written(404))
    async def reconcile() -> SweepReport:
        """Compare what is known with what Stripe has, now. What differs is applied behind."""
        report = await backend.operations.reconcile()
        if report is None:
            raise RequestRefused(make_problem("not_found", "Stripe is not set up"))
        return report

    @app.get("/admin/stripe/reconcile", dependencies=[admin], responses=problems())
    async def get_progress() -> Progress:
        """Say how far the comparison that is under way has come."""
        try:
            place = await asyncio.to_thread(backend.stripe.store.place)
        except StoreError:
            raise UnavailableError from None
        if place is None:
            return Progress(running=False)
        return Progress(
            running=True, kind=place.kind, checked=place.checked, differed=place.differed
        )
