"""The operations for operators and their probes."""

from fastapi import Depends, FastAPI, Response

from actors.api_keys import Scope
from actors.edge.backend import Backend, allow
from actors.edge.problems import NotReady, RequestRefused, make_problem, respond
from actors.edge.responses import Done, problems
from actors.reports import ShardReport, SyncReport
from actors.router import ShardLostError


def add_operating_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations for operators and their probes."""
    admin = Depends(allow(Scope.ADMIN, backend))

    @app.get("/healthz")
    async def get_health() -> Response:
        """Say that this process answers."""
        return Done('{"status":"ok"}')

    @app.get("/readyz", responses={503: {"model": NotReady}})
    async def get_readiness() -> Response:
        """Say whether every part of the service answers, or name those that do not."""
        missing = await backend.missing()
        if not missing:
            return Done('{"status":"ready"}')
        title = f"The service waits for: {', '.join(missing)}"
        base = make_problem("storage_unavailable", title)
        return respond(NotReady(**base.model_dump(), missing=missing))

    @app.get("/admin/shards", dependencies=[admin], responses=problems())
    async def get_shards() -> list[ShardReport]:
        """Return one row a shard."""
        try:
            return await backend.reports()
        except ShardLostError:
            title = "A shard does not answer; try again later"
            raise RequestRefused(make_problem("storage_unavailable", title)) from None

    @app.get("/admin/sync", dependencies=[admin], responses=problems())
    async def get_sync() -> SyncReport:
        """Say how RAM follows what other programs write in MongoDB."""
        try:
            return await backend.sync_report()
        except ShardLostError:
            title = "The synchronisation does not answer; try again later"
            raise RequestRefused(make_problem("storage_unavailable", title)) from None
