"""The operations that read: usage, months, subscriptions. Status is among the hot ones."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Response
from pydantic import AfterValidator

from actors.api_keys import Scope
from actors.asking import body_of
from actors.edge.backend import Backend, allow
from actors.edge.problems import RequestRefused, make_problem
from actors.edge.responses import Done, problems
from actors.queries import MonthQuery, SubscriptionsQuery, parse_month
from actors.store import UsageQuery
from domain.answers import MonthlyUsage, UsagePage, UserSubscriptions
from domain.requests import TIMESTAMP_MAX, TIMESTAMP_MIN, Timestamp, UserIdText
from domain.values import UserId

USAGE_PAGE_MAX = 1000

UserIdQuery = Annotated[UserIdText, Query(description="1 to 128 printable characters, no spaces.")]
Month = Annotated[str, AfterValidator(lambda text: parse_month(text) and text), Query()]


def add_reading_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations that need the scope read."""
    router = backend.router
    common: dict[str, Any] = {
        "dependencies": [Depends(allow(Scope.READ, backend))],
        "responses": problems(),
    }

    @app.get("/subscription/usage", response_model=UsagePage, **common)
    async def get_usage(
        user_id: UserIdQuery,
        since: Annotated[Timestamp, Query(alias="from")] = TIMESTAMP_MIN,
        until: Annotated[Timestamp, Query(alias="to")] = TIMESTAMP_MAX,
        limit: Annotated[int, Query(ge=1, le=USAGE_PAGE_MAX)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Return usage records, newest first; every acknowledged write is among them."""
        query = UsageQuery(UserId(user_id), since, until, limit, cursor)
        try:
            return Done(body_of(await router.query(query)))
        except ValueError as error:
            title = "The request is not valid"
            problem = make_problem("invalid_request", title, f"cursor: {error}")
            raise RequestRefused(problem) from error

    @app.get("/subscription/usage/monthly", response_model=MonthlyUsage, **common)
    async def get_monthly_usage(user_id: UserIdQuery, month: Month) -> Response:
        """Return the sums of a month of the user's time zone, by `timestamp`."""
        return Done(body_of(await router.query(MonthQuery(UserId(user_id), month))))

    @app.get("/subscriptions/{user_id}", response_model=UserSubscriptions, **common)
    async def get_subscriptions(user_id: UserIdText) -> Response:
        """Return all subscriptions of a user, the current one first."""
        return Done(body_of(await router.query(SubscriptionsQuery(UserId(user_id)))))
