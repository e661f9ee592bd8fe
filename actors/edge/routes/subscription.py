"""The operations that read: usage, months, subscriptions. Status is among the hot ones."""

import json
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Path, Query, Request, Response
from pydantic import AfterValidator, Field, ValidationError

from actors.edge.at_once import Operation, Place, writing
from actors.edge.backend import NEEDS_KEY_OR_TOKEN, Backend
from actors.edge.callers import WRITES, call_of, caller_of, require_reading
from actors.edge.problem_bodies import InsufficientCredits, InvalidRequest, Problem
from actors.edge.problems import RequestRefused, invalid, invalid_fields, problem_of
from actors.edge.responses import Done, answered, problems, written
from actors.protocol.calls import body_of
from actors.protocol.errors import AllotmentError
from actors.protocol.queries import (
    RECENT_DAYS,
    RECENT_DAYS_MAX,
    MonthQuery,
    ReadQuery,
    RecentQuery,
    SubscriptionsQuery,
    UsageQuery,
    parse_month,
)
from actors.routing.router import Router
from domain.api.answers import (
    Answer,
    CreditAdditionResponse,
    UsageRecordResponse,
    UserSubscriptions,
)
from domain.api.credit_requests import AddCreditBody
from domain.api.requests import (
    TIMESTAMP_MAX,
    TIMESTAMP_MIN,
    BatchedUsageBody,
    IdempotencyKey,
    RecordUsagesBody,
    Timestamp,
    UserIdText,
)
from domain.api.usage_answers import MonthlyUsage, RecentUsage, UsagePage
from domain.values import UserId

USAGE_PAGE_MAX = 1000
CURSOR_LENGTH_MAX = 1_100  # An instant, and the id of a record: of other programs, it may be long.

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
RECORD_ERRORS_MAX = 5  # Field errors named of one record of a batch.
KEY_PARTS_SEPARATOR = "\x1f"  # No caller's key can hold it: they are printable.
KeyHeader = Annotated[
    IdempotencyKey | None,
    Header(alias="Idempotency-Key", description="A repeat gets the first answer again."),
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
        cursor: Annotated[str | None, Query(max_length=CURSOR_LENGTH_MAX)] = None,
    ) -> Response:
        """Return usage records, newest first; every acknowledged write is among them."""
        require_reading(request, UserId(user_id), of_services=True)
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
        require_reading(request, UserId(user_id), of_services=True)
        return await listed(request, MonthQuery(UserId(user_id), month))

    @app.get("/subscription/usage/recent", response_model=RecentUsage, **common)
    async def get_recent_usage(
        request: Request,
        user_id: UserIdQuery,
        days: Annotated[int, Query(ge=1, le=RECENT_DAYS_MAX)] = RECENT_DAYS,
    ) -> Response:
        """Return the sums of the last days of the user's time zone, today among them, by `timestamp`."""
        require_reading(request, UserId(user_id), of_services=True)
        return await listed(request, RecentQuery(UserId(user_id), days))

    @app.get("/subscriptions/{id:segment}", response_model=UserSubscriptions, **common)  # noqa: FAST003
    async def get_subscriptions(request: Request, user_id: UserIdPath) -> Response:
        """Return all subscriptions of a user, the current one first."""
        require_reading(request, UserId(user_id), of_services=False)
        return await listed(request, SubscriptionsQuery(UserId(user_id)))


class BatchedRecord(Answer):
    """A record of a batch that was charged."""

    status: Literal[201]
    record: UsageRecordResponse


class BatchedProblem(Answer):
    """A record of a batch that was not charged."""

    status: int = Field(examples=[402])
    problem: InsufficientCredits | InvalidRequest | Problem


class BatchResponse(Answer):
    """What became of each record, in order."""

    results: list[BatchedRecord | BatchedProblem]


def add_writing_operations(app: FastAPI, backend: Backend) -> dict[Place, Operation]:
    """Add the operations that need the scope write; return those that answer at once."""
    router = backend.router
    common: dict[str, Any] = {**WRITES, "responses": written()}

    @app.post(
        "/subscription/credits",
        status_code=201,
        response_model=CreditAdditionResponse,
        **common,
    )
    async def add_credit(
        request: Request, body: AddCreditBody, idempotency_key: KeyHeader = None
    ) -> Response:
        """Add credits over days, or as a pack that any day may spend.

        Credits over days join the current subscription, or begin a new one.
        """
        call = call_of(request, body.command(), idempotency_key)
        return await answered(backend, await router.call(call), 201)

    @app.post("/subscription/usage/batch", response_model=BatchResponse, **common)
    async def record_usages(
        request: Request, body: RecordUsagesBody, idempotency_key: KeyHeader = None
    ) -> Response:
        """Charge many records, each on its own."""
        return await record_batch(router, body.records, idempotency_key, request)

    return {("POST", "/subscription/credits"): writing(AddCreditBody, add_credit)}


async def record_batch(
    router: Router, records: list[Any], key: str | None, request: Request
) -> Response:
    """Return the results of a batch in order: a status, and a record or a problem each.

    A key of the whole batch stands for every record that has none of its own.
    """
    results: list[dict[str, Any] | None] = [None] * len(records)
    calls, places = [], []
    for place, record in enumerate(records):
        try:
            item = BatchedUsageBody.model_validate(record)
        except ValidationError as error:
            results[place] = failed(invalid_fields(error, errors_max=RECORD_ERRORS_MAX))
            continue
        own_key = item.idempotency_key or (key and f"{key}{KEY_PARTS_SEPARATOR}{place}")
        try:
            calls.append(call_of(request, item.command(), own_key))
        except RequestRefused as refused:
            results[place] = failed(refused.problem)
            continue
        places.append(place)
    for place, reply in zip(places, await router.calls(calls), strict=True):
        try:
            results[place] = {"status": 201, "record": json.loads(body_of(reply))}
        except AllotmentError as error:
            results[place] = failed(problem_of(error))
    return Done(json.dumps({"results": results}, ensure_ascii=False))


def failed(problem: Problem) -> dict[str, Any]:
    """Return the result of a record that was not charged."""
    return {"status": problem.status, "problem": problem.model_dump(mode="json")}
