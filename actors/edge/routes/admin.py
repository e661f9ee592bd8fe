"""The operations on RAM and MongoDB as a whole: reading anew, comparing, reports."""

import asyncio
from typing import Annotated

from fastapi import FastAPI, Query, Request
from pydantic import Field

from actors.auth.caller import Scope
from actors.edge.backend import Backend
from actors.edge.bodies import ReshardBody, SyncBody, ValidateBody
from actors.edge.callers import ADMIN, ADMIN_OF_ONE, require, require_user
from actors.edge.problems import RequestRefused, make_problem
from actors.edge.responses import problems, written
from actors.protocol.errors import UnavailableError
from actors.protocol.reports import Report, RereadReport, ReshardReport, SweepReport
from actors.protocol.store import StoreError
from domain.values import UserId

REPORTS_MAX = 1000


def add_admin_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on RAM and MongoDB as a whole."""
    _add_comparing(app, backend)
    _add_resharding(app, backend)


def _add_comparing(app: FastAPI, backend: Backend) -> None:
    @app.post("/admin/sync", **ADMIN_OF_ONE, responses=written())
    async def synchronise(request: Request, body: SyncBody | None = None) -> RereadReport:
        """Read RAM anew from MongoDB, for one user or for all.

        `reloaded` counts accounts that differed or were not in RAM, `removed` those of which
        MongoDB has nothing any more.
        """
        named = UserId(body.user_id) if body and body.user_id else None
        if named is None:
            require(request, Scope.ADMIN)
        else:
            require_user(request, Scope.ADMIN, named)
        return await backend.operations.reread(named)

    @app.post("/admin/validate", **ADMIN, responses=written())
    async def validate(body: ValidateBody | None = None) -> SweepReport:
        """Compare all of RAM with MongoDB, hold the views to their rules, and report."""
        repair = body.repair if body else True
        return await backend.operations.validate(repair=repair)

    @app.get("/admin/sweeps", **ADMIN, responses=problems())
    async def list_sweeps(
        job: Annotated[str | None, Query(max_length=64, description="sweep, expire, trim")] = None,
        limit: Annotated[int, Query(ge=1, le=REPORTS_MAX)] = 50,
    ) -> list[SweepReport]:
        """Return the newest reports of the janitor's runs, newest first."""
        try:
            return await asyncio.to_thread(backend.agenda.reports, limit, job)
        except StoreError:
            raise UnavailableError from None


def _add_resharding(app: FastAPI, backend: Backend) -> None:
    @app.post("/admin/reshard", **ADMIN, responses=written(409))
    async def reshard(body: ReshardBody) -> ReshardReport:
        """Begin to change the number of shards, while they serve.

        Asked again for the same number, it tells how far it is.
        """
        report = await backend.operations.reshard(body.shards)
        if report.shards != body.shards:
            title = f"A change to {report.shards} shards is not finished"
            raise RequestRefused(make_problem("reshard_running", title))
        return report

    @app.get("/admin/reshard", **ADMIN, responses=problems())
    async def get_resharding() -> ReshardReport:
        """Say how far the newest change of the number of shards is."""
        return await backend.operations.resharding()


class ReconcileProgress(Report):
    """How far a comparison with Stripe has come."""

    running: bool = Field(examples=[True])
    kind: str | None = Field(default=None, examples=["invoices"])
    checked: int = Field(default=0, examples=[1200])
    differed: int = Field(default=0, examples=[3])


def add_reconciling_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations that compare with Stripe."""

    @app.post("/admin/stripe/reconcile", **ADMIN, responses=written(404))
    async def reconcile() -> SweepReport:
        """Compare what is known with what Stripe has, now. What differs is applied behind."""
        report = await backend.operations.reconcile()
        if report is None:
            raise RequestRefused(make_problem("not_found", "Stripe is not set up"))
        return report

    @app.get("/admin/stripe/reconcile", **ADMIN, responses=problems())
    async def get_progress() -> ReconcileProgress:
        """Say how far the comparison that is under way has come."""
        try:
            place = await asyncio.to_thread(backend.stripe.store.place)
        except StoreError:
            raise UnavailableError from None
        if place is None:
            return ReconcileProgress(running=False)
        return ReconcileProgress(
            running=True, kind=place.kind, checked=place.checked, differed=place.differed
        )
