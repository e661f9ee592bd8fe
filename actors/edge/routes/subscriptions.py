"""The operations on the subscriptions of any user, for operators."""

import asyncio
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request, Response

from actors.auth.caller import Scope
from actors.edge.backend import Backend, find_settled
from actors.edge.callers import ADMIN, ADMIN_OF_ONE, call_of, require_user
from actors.edge.problems import RequestRefused, invalid
from actors.edge.responses import Done, answered, problems, written
from actors.edge.routes.subscription import KeyHeader, read_list
from actors.protocol.errors import NotFoundError, UnavailableError
from actors.protocol.queries import ChangeQuery, HistoryQuery, SubscriptionPageQuery
from actors.protocol.store import StoreError
from domain.api.answers import SubscriptionPage, SubscriptionRecord
from domain.api.details import INT64_MAX
from domain.api.history_answers import HistoryPage
from domain.api.requests import TEXT_LENGTH_MAX, ChangeSubscriptionBody, UserIdText
from domain.values import Status, UserId

PAGE_MAX = 1000
CURSOR_LENGTH_MAX = 300


SubscriptionId = Annotated[
    str,
    Path(
        alias="id",
        min_length=1,
        max_length=TEXT_LENGTH_MAX,
        description="The id of the subscription.",
    ),
]


def add_subscription_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on subscriptions that need the scope admin."""
    _add_reading(app, backend)
    _add_changing(app, backend)


def _add_reading(app: FastAPI, backend: Backend) -> None:

    @app.get("/subscriptions", response_model=SubscriptionPage, responses=problems(), **ADMIN)
    async def list_subscriptions(
        status: Annotated[Status | None, Query(description="As it is shown now.")] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
        cursor: Annotated[str | None, Query(max_length=CURSOR_LENGTH_MAX)] = None,
    ) -> Response:
        """Return subscriptions of all users by id, as their documents stand."""
        query = SubscriptionPageQuery(status, limit, cursor)
        try:
            now = await backend.now()
            page = await asyncio.to_thread(backend.overview.subscription_page, query, now)
        except StoreError:
            raise UnavailableError from None
        except ValueError as error:
            raise RequestRefused(invalid("cursor", str(error))) from error
        return Done(page.model_dump_json())

    @app.get(
        "/subscriptions/{user_id:segment}/history",
        response_model=HistoryPage,
        responses=problems(),
        **ADMIN_OF_ONE,
    )
    async def get_history(
        request: Request,
        user_id: UserIdText,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
        cursor: Annotated[int | None, Query(ge=1, le=INT64_MAX)] = None,
    ) -> Response:
        """Return what was decided about a user and who asked for it, newest first."""
        require_user(request, Scope.ADMIN, UserId(user_id))
        query = HistoryQuery(UserId(user_id), limit, cursor)
        return await read_list(backend, request, query)


def _add_changing(app: FastAPI, backend: Backend) -> None:
    @app.patch(
        "/subscriptions/{id:segment}",  # noqa: FAST003 - it is an alias
        response_model=SubscriptionRecord,
        responses=written(404),
        **ADMIN_OF_ONE,
    )
    async def change_subscription(
        request: Request,
        subscription_id: SubscriptionId,
        body: ChangeSubscriptionBody,
        idempotency_key: KeyHeader = None,
    ) -> Response:
        """Change a status, an end or a time zone. It is in MongoDB and in RAM when this answers."""
        user_id, known_id = await find_owner(backend, subscription_id)
        call = call_of(request, body.command(user_id, known_id), idempotency_key)
        return await answered(backend, await backend.router.query(ChangeQuery(call)), 200)


async def find_owner(backend: Backend, subscription_id: str) -> tuple[UserId, str]:
    """Return whose a subscription is, and its id as accounts spell it. Raises NotFoundError."""
    owner = await find_settled(backend, lambda: backend.overview.owner_of(subscription_id))
    if owner is None:
        raise NotFoundError
    return owner
