"""What the service would be without gathering: each request is a Ray call of its own.

The same parsing, keys, shards and answers as `serve_app`, as a second application of the same
Serve instance, behind the same HAProxy.
"""

from fastapi import APIRouter, Depends, FastAPI, Response
from ray import serve
from ray.serve import Deployment

from actors.auth.caller import Scope
from actors.edge.callers import allow
from actors.edge.gate import Gate
from actors.edge.problems import HANDLERS
from actors.edge.responses import Done, answered
from actors.edge.routes.subscription import KeyHeader, UserIdQuery
from actors.protocol.calls import Call, Envelope, Reply, body_of, make_call
from actors.protocol.directory import Directory
from actors.remote.shards import RayShards
from actors.serving.replica import RayBackend
from actors.settings import Settings
from domain.api.answers import CreditStatusResponse, UsageRecordResponse
from domain.api.requests import RecordUsageBody
from domain.values import UserId

NAME = "one-call"
ROUTE_PREFIX = "/one-call"
REQUESTS_MAX = 1_000  # As many as a replica of the service itself takes.


class OneCallShards:
    """The way to the shards, a message a request."""

    def __init__(self) -> None:
        self._shards = RayShards(sockets=False)
        self._table: Directory | None = None

    async def call(self, call: Call) -> Reply:
        """Return the reply to one command."""
        table = await self._directory()
        owner = table.owner(call.command.user_id)
        return (await self._shards.send(owner, Envelope(table.version, calls=(call,))))[0]

    async def status(self, user_id: UserId) -> Reply:
        """Return the status of one user."""
        table = await self._directory()
        envelope = Envelope(table.version, status_of=(user_id,))
        return (await self._shards.send(table.owner(user_id), envelope))[0]

    async def _directory(self) -> Directory:
        if self._table is None:
            self._table = await self._shards.directory()
        return self._table


def build_app(backend: RayBackend, shards: OneCallShards) -> Gate:
    """Return the two calls that are compared."""
    app = FastAPI(title="One call per request", exception_handlers=HANDLERS)
    reading = APIRouter(dependencies=[Depends(allow(Scope.READ))])
    writing = APIRouter(dependencies=[Depends(allow(Scope.WRITE))])

    @reading.get("/status", response_model=CreditStatusResponse)
    async def get_status(user_id: UserIdQuery) -> Response:
        return Done(body_of(await shards.status(UserId(user_id))))

    @writing.post("/usage", status_code=201, response_model=UsageRecordResponse)
    async def record_usage(body: RecordUsageBody, idempotency_key: KeyHeader = None) -> Response:
        reply = await shards.call(make_call(body.command(), idempotency_key))
        return await answered(backend, reply, 201)

    app.include_router(reading)
    app.include_router(writing)
    return Gate(app, backend, {})


class OneCall:
    """One replica."""

    def __init__(self, settings: Settings) -> None:
        self._backend = RayBackend(settings)

    def __serve_build_asgi_app__(self) -> Gate:
        return build_app(self._backend, OneCallShards())


one_call: Deployment = serve.deployment(name=NAME)(serve.ingress()(OneCall))


def deploy(settings: Settings) -> None:
    """Serve it beside the service, in the cluster this process has joined."""
    replica = one_call.options(
        num_replicas=settings.http_replicas,
        max_ongoing_requests=REQUESTS_MAX,
        ray_actor_options={"num_cpus": 0},  # The service may have reserved all there are.
    )
    serve.run(replica.bind(settings), name=NAME, route_prefix=ROUTE_PREFIX)
