"""The operations that read: usage, months, subscriptions. Status is among the hot ones."""

from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from pydantic import AfterValidator

from actors.client.arguments import body_of
from actors.edge.backend import NEEDS_KEY_OR_TOKEN, Backend, caller_of, require_reading
from actors.edge.problems import RequestRefused, invalid
from actors.edge.responses import Done, problems
from actors.protocol.store import UsageQuery
from actors.shard.queries import MonthQuery, ReadQuery, SubscriptionsQuery, parse_month
from domain.api.answers import MonthlyUsage, UsagePage, UserSubscriptions
from domain.api.requests import TIMESTAMP_MAX, TIMESTAMP_MIN, Timestamp, UserIdText
from domain.values import UserId

USAGE_PAGE_MAX = 1000

UserIdQuery = Annotated[UserIdText, Query(description="1 to 128 printable characters, no spaces.")]
UserIdPath = Annotated[UserIdText, Path(alias="id", description="The id of the user.")]
Month = Annotated[
    str,
    AfterValidator(lambda text: parse_month(text) and text),
    Query(
        description="YYYY-MM, from 1970 to 2199.",
        json_schema_extra={"pattern": r"^(19[7-9][0-9]|2[01][0-9]{2})-(0[1-9]|1[0-2])$"},
    ),
]


async def read_list(backend: Backend, request: Request, query: ReadQuery) -> Done:
    """Answer with a list, when its caller has its turn. ValueError: the cursor is not one of ours."""
    async with backend.turns.turn(caller_of(request).name):
        return Done(body_of(await backend.router.query(query)))


def add_reading_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations that need the scope read."""
    listed = partial(read_list, backend)
    common: dict[str, Any] = {
        "responses": problems(),
        "openapi_extra": {"security": NEEDS_KEY_OR_TOKEN},
    }

    @app.get("/subscription/usage", response_model=UsagePage, **common)
    async def get_usage(
        request: Request,
        user_id: UserIdQuery,
        since: Annotated[Timestamp | None, Query(alias="from")] = None,
        until: Annotated[Timestamp | None, Query(alias="to")] = None,
        limit: Annotated[int, Query(ge=1, le=USAGE_PAGE_MAX)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Return usage records, newest first; every acknowledged write is among them."""
        require_reading(request, UserId(user_id))
        query = UsageQuery(
            UserId(user_id), since or TIMESTAMP_MIN, until or TIMESTAMP_MAX, limit, cursor
        )
        try:
            return await listed(request, query)
        except ValueError as error:
            raise RequestRefused(invalid("cursor", str(error))) from error

    @app.get("/subscription/usage/monthly", response_model=MonthlyUsage, **common)
    async def get_monthly_usage(request: Request, user_id: UserIdQuery, month: Month) -> Response:
        """Return the sums of a month of the user's time zone, by `timestamp`."""
        require_reading(request, UserId(user_id))
        return await listed(request, MonthQuery(UserId(user_id), month))

    @app.get("/subscriptions/{id:segment}", response_model=UserSubscriptions, **common)  # noqa: FAST003
    async def get_subscriptions(request: Request, user_id: UserIdPath) -> Response:
        """Return all subscriptions of a user, the current one first."""
        require_reading(request, UserId(user_id))
        return await listed(request, SubscriptionsQuery(UserId(user_id)))
