"""The operations on users: to make one anonymous, and how far that is."""

from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from actors.auth.caller import Scope
from actors.edge.backend import Backend
from actors.edge.bodies import AnonymizeBody
from actors.edge.callers import ADMIN, ADMIN_OF_ONE, require_user
from actors.edge.responses import Done, problems, written
from actors.edge.routes.subscription import KeyHeader
from actors.protocol.reports import AnonymizationReport
from domain.api.requests import UserIdText
from domain.values import UserId

LISTED_MAX = 1000


def add_user_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on users."""

    @app.delete(
        "/users/{user_id:segment}",
        response_model=AnonymizationReport,
        responses=written(),
        **ADMIN_OF_ONE,
    )
    async def anonymize_user(
        request: Request,
        user_id: UserIdText,
        body: AnonymizeBody,
        idempotency_key: KeyHeader = None,
    ) -> Response:
        """Put a random id in the place of a user's in everything that Allotment has stored.

        Amounts stay, `details` and `session_id` are emptied. 200: it is done. 503: it goes on; ask
        again, with the same key, or look at `GET /admin/anonymizations`. Who comes under the old id
        afterwards is a new user.
        """
        _ = body  # There is one mode.
        by = require_user(request, Scope.ADMIN, UserId(user_id)).name
        done = await backend.operations.anonymize(UserId(user_id), by, idempotency_key)
        headers = {"Idempotent-Replayed": "true"} if done.replayed else {}
        return Done(done.report.model_dump_json(), headers=headers)

    @app.get("/admin/anonymizations", **ADMIN, responses=problems())
    async def list_anonymizations(
        limit: Annotated[int, Query(ge=1, le=LISTED_MAX)] = 50,
    ) -> list[AnonymizationReport]:
        """Return the newest anonymisations, newest first. None says whose it was."""
        return await backend.operations.anonymizations(limit)
