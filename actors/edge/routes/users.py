"""The operations on users: who has the least left; to make one anonymous, and how far that is."""

import asyncio
from itertools import chain
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from actors.auth.caller import Scope
from actors.edge.audited import NOW_CALLED
from actors.edge.backend import Backend
from actors.edge.bodies import AnonymizeBody
from actors.edge.callers import ADMIN, ADMIN_OF_ONE, require_user
from actors.edge.responses import Done, problems, written
from actors.edge.routes.subscription import KeyHeader
from actors.protocol.calls import Outcome
from actors.protocol.ranking import RANKED_MAX, Order, RankedUsers
from actors.protocol.reports import AnonymizationReport
from domain.api.answers import CreditStatusResponse
from domain.api.requests import UserIdText
from domain.values import UserId

LISTED_MAX = 1000
STATUSES_TOGETHER = 128


def add_user_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on users."""
    _add_anonymizing(app, backend)

    @app.get("/admin/users", **ADMIN, responses=problems())
    async def list_users(
        order: Annotated[
            Order, Query(description="Whom to begin with: who has the least left, or the most.")
        ] = Order.LEAST,
        limit: Annotated[int, Query(ge=1, le=RANKED_MAX)] = 50,
    ) -> RankedUsers:
        """Return the users who have the least left, or the most, of those in RAM.

        They have a current subscription, or packs that are not used up. What is left is worked out for
        each, so a look through many takes a while: it goes on, and serves who asks again. `looked_at`
        says how many of the `users` in RAM it has come to.
        """
        ranked = await backend.operations.ranked(order, limit)
        items = await statuses_of(backend, [user_id for _, user_id in ranked.first])
        sign = 1 if order is Order.LEAST else -1
        items.sort(key=lambda one: (sign * one.remaining_credits, one.user_id))
        return RankedUsers(
            order=order,
            users=ranked.users,
            looked_at=ranked.looked_at,
            as_of=ranked.as_of,
            items=items,
        )


async def statuses_of(backend: Backend, user_ids: list[UserId]) -> list[CreditStatusResponse]:
    """Return what users have now. Those of whom nobody can say are left out."""
    starts = range(0, len(user_ids), STATUSES_TOGETHER)
    parts = [user_ids[start : start + STATUSES_TOGETHER] for start in starts]
    replies = chain(*await asyncio.gather(*map(backend.router.statuses, parts)))
    bodies = (one.body for one in replies if one.outcome is Outcome.DONE and one.body)
    return [CreditStatusResponse.model_validate_json(body) for body in bodies]


def _add_anonymizing(app: FastAPI, backend: Backend) -> None:
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
        # Where nothing was found there is no id: the audit names what was asked for all the same.
        report = done.report
        request.scope[NOW_CALLED] = UserId(report.anonymous_id or report.anonymization_id)
        headers = {"Idempotent-Replayed": "true"} if done.replayed else {}
        return Done(done.report.model_dump_json(), headers=headers)

    @app.get("/admin/anonymizations", **ADMIN, responses=problems())
    async def list_anonymizations(
        limit: Annotated[int, Query(ge=1, le=LISTED_MAX)] = 50,
    ) -> list[AnonymizationReport]:
        """Return the newest anonymisations, newest first. None says whose it was."""
        return await backend.operations.anonymizations(limit)
