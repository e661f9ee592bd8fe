"""The operations for operators and their probes."""

from typing import Any

from fastapi import FastAPI, Response
from pydantic import BaseModel, Field

from actors.edge.backend import Backend
from actors.edge.bodies import TestClockBody
from actors.edge.callers import ADMIN
from actors.edge.problem_bodies import NotReady, documented
from actors.edge.problems import RequestRefused, make_problem, respond
from actors.edge.responses import Done, problems, written
from actors.protocol.errors import InvalidRequestError, ShardLostError, UnavailableError
from actors.protocol.reports import ShardReport, SyncReport, TestClockReport
from actors.protocol.store import StoreError
from actors.runtime.clock import TimeGoesForwardError

OPEN: dict[str, Any] = {"security": []}
"""How an operation that needs no key says so in its documentation."""


class Health(BaseModel):
    """The answer to a probe."""

    status: str = Field(examples=["ok"])


def add_operating_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations for operators and their probes."""

    @app.get("/healthz", response_model=Health, openapi_extra=OPEN)
    async def get_health() -> Response:
        """Say that this process answers."""
        return Done('{"status":"ok"}')

    @app.get(
        "/readyz",
        response_model=Health,
        responses={503: documented(503, NotReady)},
        openapi_extra=OPEN,
    )
    async def get_readiness() -> Response:
        """Say whether every part of the service answers, or name those that do not."""
        missing = await backend.missing()
        if not missing:
            return Done('{"status":"ready"}')
        title = f"The service waits for: {', '.join(missing)}"
        base = make_problem("storage_unavailable", title)
        return respond(NotReady(**base.model_dump(), missing=missing))

    @app.get("/admin/shards", **ADMIN, responses=problems())
    async def get_shards() -> list[ShardReport]:
        """Return one row a shard."""
        try:
            return await backend.reports()
        except ShardLostError:
            title = "A shard does not answer; try again later"
            raise RequestRefused(make_problem("storage_unavailable", title)) from None

    @app.get("/admin/sync", **ADMIN, responses=problems())
    async def get_sync() -> SyncReport:
        """Say how RAM follows what other programs write in MongoDB."""
        try:
            return await backend.sync_report()
        except ShardLostError:
            title = "The synchronisation does not answer; try again later"
            raise RequestRefused(make_problem("storage_unavailable", title)) from None


def add_test_clock(app: FastAPI, backend: Backend) -> None:
    """Add the operation that sets the clock forward."""

    @app.put("/admin/test-clock", **ADMIN, responses=written(404))
    async def set_test_clock(body: TestClockBody) -> TestClockReport:
        """Set the whole service's clock forward, where ALLOTMENT_TEST_CLOCK allows it."""
        if backend.test_clock is None:
            title = "There is no test clock: ALLOTMENT_TEST_CLOCK is not 1"
            raise RequestRefused(make_problem("not_found", title))
        try:
            return TestClockReport(now=await backend.test_clock.set(body.now))
        except TimeGoesForwardError:
            raise InvalidRequestError("now: time never runs backwards") from None
        except (StoreError, ShardLostError):
            raise UnavailableError from None
