"""The HTTP edge: composition for Ray Serve, and one short path a request: parse → call → answer.

`build_app` needs no Ray: tests run it on any way to the shards.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator, ValidationError
from ray import serve

from actors.api_keys import KeyRing, Scope
from actors.async_client import body_of, make_call
from actors.calls import Reply
from actors.failures import AllotmentError
from actors.mongo.connection import connect, is_reachable
from actors.mongo.keys import MongoKeys
from actors.problems import (
    HANDLERS,
    InsufficientCredits,
    InvalidRequest,
    NotReady,
    Problem,
    RequestRefused,
    invalid_fields,
    make_problem,
    problem_of,
    respond,
)
from actors.queries import MonthQuery, SubscriptionsQuery, parse_month
from actors.remote import RayShards, ShardReport
from actors.router import Router, ShardLostError
from actors.settings import Settings
from actors.store import StorageUnavailableError, UsageQuery
from domain.answers import (
    CreditAdditionResponse,
    CreditStatusResponse,
    MonthlyUsage,
    UsagePage,
    UsageRecordResponse,
    UserSubscriptions,
)
from domain.requests import (
    TIMESTAMP_MAX,
    TIMESTAMP_MIN,
    AddCreditBody,
    BatchedUsageBody,
    IdempotencyKey,
    RecordUsageBody,
    RecordUsagesBody,
    Timestamp,
    UserIdText,
)
from domain.values import UserId

USAGE_PAGE_MAX = 1000
READY_SECONDS_MAX = 2.0  # How long each part may take to show that it is there.
KEY_PARTS_SEPARATOR = "\x1f"  # No caller's key can hold it: they are printable.


class Backend(Protocol):
    """What the edge stands on."""

    router: Router
    keys: KeyRing

    async def reports(self) -> list[ShardReport]:
        """Return a report of every shard. ShardLostError: one did not answer."""

    async def missing(self) -> list[str]:
        """Return which parts of the service do not answer."""


class Done(Response):
    """A JSON answer that is text already."""

    media_type = "application/json"


UserIdQuery = Annotated[UserIdText, Query(description="1 to 128 printable characters, no spaces.")]
KeyHeader = Annotated[
    IdempotencyKey | None,
    Header(alias="Idempotency-Key", description="A repeat gets the first answer again."),
]
Month = Annotated[str, AfterValidator(lambda text: parse_month(text) and text), Query()]
BEARER = HTTPBearer(auto_error=False, description="An API key.")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of an operation's problem bodies."""
    models: dict[int, type[Problem]] = {402: InsufficientCredits, 422: InvalidRequest}
    content = "application/problem+json"
    return {
        status: {"model": models.get(status, Problem), "content": {content: {}}}
        for status in (401, 403, *statuses, 422, 503)
    }


def allow(scope: Scope, backend: Backend) -> Callable[..., Awaitable[None]]:
    """Return the check that a request carries a key of at least this scope."""

    async def check(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        try:
            found = await backend.keys.scope_of(credentials.credentials) if credentials else None
        except StorageUnavailableError:
            title = "Keys cannot be checked now; try again later"
            raise RequestRefused(make_problem("storage_unavailable", title)) from None
        if found is None:
            title = "A valid API key is needed"
            raise RequestRefused(make_problem("unauthorized", title))
        if found < scope:
            title = f"The key needs the scope {scope.name.lower()}"
            raise RequestRefused(make_problem("forbidden", title))

    return check


def answered(reply: Reply, status: int) -> Response:
    """Return the response to a write: the first answer, marked where it is given again."""
    replayed = {"Idempotent-Replayed": "true"} if reply.replayed else {}
    try:
        return Done(body_of(reply), status, headers=replayed)
    except AllotmentError as error:
        response = respond(problem_of(error))
        response.headers.update(replayed)
        return response


def build_app(backend: Backend) -> FastAPI:
    """Return the whole HTTP interface on a backend."""
    app = FastAPI(
        title="Allotment",
        version="0.1.0",
        summary="Decides whether a user may spend credits, and never loses or doubles one.",
        docs_url=None,
        redoc_url=None,
        exception_handlers=HANDLERS,
    )
    app.include_router(reading(backend))
    app.include_router(writing(backend))
    app.include_router(operating(backend))
    return app


def reading(backend: Backend) -> APIRouter:
    """Return the routes that need the scope read."""
    routes = APIRouter(dependencies=[Depends(allow(Scope.READ, backend))], responses=problems())
    router = backend.router

    @routes.get("/subscription/status", response_model=CreditStatusResponse)
    async def get_status(user_id: UserIdQuery) -> Response:
        """Return what a user has today, from the owning shard's RAM."""
        return Done(body_of(await router.status(UserId(user_id))))

    @routes.get("/subscription/usage", response_model=UsagePage)
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

    @routes.get("/subscription/usage/monthly", response_model=MonthlyUsage)
    async def get_monthly_usage(user_id: UserIdQuery, month: Month) -> Response:
        """Return the sums of a month of the user's time zone, by `timestamp`."""
        return Done(body_of(await router.query(MonthQuery(UserId(user_id), month))))

    @routes.get("/subscriptions/{user_id}", response_model=UserSubscriptions)
    async def get_subscriptions(user_id: UserIdText) -> Response:
        """Return all subscriptions of a user, the current one first."""
        return Done(body_of(await router.query(SubscriptionsQuery(UserId(user_id)))))

    return routes


def writing(backend: Backend) -> APIRouter:
    """Return the routes that need the scope write."""
    routes = APIRouter(dependencies=[Depends(allow(Scope.WRITE, backend))])
    router = backend.router

    @routes.post(
        "/subscription/credits",
        status_code=201,
        response_model=CreditAdditionResponse,
        responses=problems(),
    )
    async def add_credit(body: AddCreditBody, idempotency_key: KeyHeader = None) -> Response:
        """Add a grant to the current subscription, or begin a new one."""
        return answered(await router.call(make_call(body.command(), idempotency_key)), 201)

    @routes.post(
        "/subscription/usage",
        status_code=201,
        response_model=UsageRecordResponse,
        responses=problems(402),
    )
    async def record_usage(body: RecordUsageBody, idempotency_key: KeyHeader = None) -> Response:
        """Charge credits to today."""
        return answered(await router.call(make_call(body.command(), idempotency_key)), 201)

    @routes.post("/subscription/usage/batch", responses=problems())
    async def record_usages(body: RecordUsagesBody, idempotency_key: KeyHeader = None) -> Response:
        """Charge many records, each on its own."""
        return await record_batch(router, body.records, idempotency_key)

    return routes


async def record_batch(router: Router, records: list[Any], key: str | None) -> Response:
    """Return the results of a batch in order: a status, and a record or a problem each.

    A key of the whole batch stands for every record that has none of its own.
    """
    results: list[dict[str, Any] | None] = [None] * len(records)
    calls, places = [], []
    for place, record in enumerate(records):
        try:
            item = BatchedUsageBody.model_validate(record)
        except ValidationError as error:
            results[place] = failed(invalid_fields(error))
            continue
        own_key = item.idempotency_key or (key and f"{key}{KEY_PARTS_SEPARATOR}{place}")
        calls.append(make_call(item.command(), own_key))
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


def operating(backend: Backend) -> APIRouter:
    """Return the routes for operators and their probes."""
    routes = APIRouter()
    admin = Depends(allow(Scope.ADMIN, backend))

    @routes.get("/healthz")
    async def get_health() -> Response:
        """Say that this process answers."""
        return Done('{"status":"ok"}')

    @routes.get("/readyz", responses={503: {"model": NotReady}})
    async def get_readiness() -> Response:
        """Say whether every part of the service answers, or name those that do not."""
        missing = await backend.missing()
        if not missing:
            return Done('{"status":"ready"}')
        title = f"The service waits for: {', '.join(missing)}"
        base = make_problem("storage_unavailable", title)
        return respond(NotReady(**base.model_dump(), missing=missing))

    @routes.get("/admin/shards", dependencies=[admin], responses=problems())
    async def get_shards() -> list[ShardReport]:
        """Return one row a shard."""
        try:
            return await backend.reports()
        except ShardLostError:
            title = "A shard does not answer; try again later"
            raise RequestRefused(make_problem("storage_unavailable", title)) from None

    return routes


class RayBackend:
    """The backend of a Serve replica: shards through Ray, keys from MongoDB."""

    def __init__(self, settings: Settings) -> None:
        assert settings.mongo_uri is not None, "whoever deploys the edge knows the database"
        self._database = connect(settings.mongo_uri.get_secret_value(), settings.mongo_db)
        self._shards = RayShards()
        self.router = Router(self._shards, settings.request_timeout_seconds)
        self.keys = KeyRing(MongoKeys(self._database))

    async def reports(self) -> list[ShardReport]:
        """Return a report of every shard. ShardLostError: one did not answer."""
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                table = await self._shards.directory()
                return await asyncio.gather(*map(self._shards.report, range(table.shards)))
        except TimeoutError as error:
            raise ShardLostError from error

    async def missing(self) -> list[str]:
        """Return which parts of the service do not answer."""
        missing = []
        if not await asyncio.to_thread(is_reachable, self._database):
            missing.append("database")
        try:
            await self.reports()
        except ShardLostError:
            missing.append("shards")
        return missing


@serve.deployment(name="http")
@serve.ingress()
class Edge:
    """One replica of the HTTP edge."""

    def __init__(self, settings: Settings) -> None:
        self._backend = RayBackend(settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self._backend)
