"""The operations on endpoints of webhooks: make, list, change, rotate, test, remove."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Path, Request, Response

from actors.edge.audited import MADE
from actors.edge.backend import Backend
from actors.edge.callers import ADMIN, refused
from actors.edge.endpoint_bodies import ChangeEndpointBody, MakeEndpointBody, RotateEndpointBody
from actors.edge.problems import RequestRefused, invalid, make_problem
from actors.edge.responses import Done, problems, written
from actors.edge.routes.subscription import KeyHeader
from actors.events.endpoint_desk import (
    EndpointDesk,
    EnvironmentEndpointError,
    RefusedUrlError,
    TooManyEndpointsError,
)
from actors.events.endpoint_reports import EndpointRecord, EndpointTrial, MadeEndpoint
from actors.events.endpoints import ENDPOINTS_MAX, UnknownEndpointError
from actors.protocol.errors import UnavailableError
from actors.protocol.store import StoreError

ENDPOINT_ID_LENGTH_MAX = 64
ONE = "/admin/endpoints/{endpoint_id:segment}"

EndpointId = Annotated[
    str,
    Path(min_length=1, max_length=ENDPOINT_ID_LENGTH_MAX, description="The id of the endpoint."),
]

T = TypeVar("T")


def add_endpoint_operations(app: FastAPI, backend: Backend) -> None:
    """Add the operations on endpoints."""
    desk = backend.endpoints
    _add_making(app, desk)
    _add_changing(app, desk)

    @app.get("/admin/endpoints", responses=problems(), **ADMIN)
    async def list_endpoints() -> list[EndpointRecord]:
        """Return the endpoints of webhooks: those of the environment, then the others, the oldest first."""
        return await done(desk.list)

    @app.post(f"{ONE}/test", responses=problems(404), **ADMIN)
    async def test_endpoint(endpoint_id: EndpointId) -> EndpointTrial:
        """Send one signed test event, of the type `endpoint.test`, and tell what came of it.

        It goes to an endpoint that is switched off, too, and is not repeated.
        """
        try:
            return await backend.events.try_endpoint(endpoint_id)
        except ValueError:
            raise nobody() from None


def _add_making(app: FastAPI, desk: EndpointDesk) -> None:
    @app.post(
        "/admin/endpoints",
        status_code=201,
        response_model=MadeEndpoint,
        responses=written(),
        **ADMIN,
    )
    async def create_endpoint(
        request: Request, body: MakeEndpointBody, idempotency_key: KeyHeader = None
    ) -> Response:
        """Make an endpoint, and show the secret that signs its events this once.

        It is sent what happens from now on, within five seconds. A repeat with its key gets the first
        answer, as long as the endpoint is there.
        """
        text, replayed = await done(
            desk.make, body.url, body.events, idempotency_key, enabled=body.enabled
        )
        request.scope[MADE] = MadeEndpoint.model_validate_json(text).endpoint_id
        return Done(text, 201, headers={"Idempotent-Replayed": "true"} if replayed else {})

    @app.post(f"{ONE}/rotate", status_code=201, responses=written(404), **ADMIN)
    async def rotate_endpoint(
        endpoint_id: EndpointId, body: RotateEndpointBody | None = None
    ) -> MadeEndpoint:
        """Give an endpoint a new secret, and show it this once; the one before signs, too, for a while."""
        told = body or RotateEndpointBody()
        return await done(desk.rotate, endpoint_id, timedelta(seconds=told.overlap))


def _add_changing(app: FastAPI, desk: EndpointDesk) -> None:
    @app.patch(ONE, responses=written(404), **ADMIN)
    async def change_endpoint(endpoint_id: EndpointId, body: ChangeEndpointBody) -> EndpointRecord:
        """Change where events go, which, or whether any do, within five seconds.

        One that is switched off keeps its place: on again, it gets what happened meanwhile, as far as
        that is kept.
        """
        return await done(desk.change, endpoint_id, body.url, body.events, enabled=body.enabled)

    @app.delete(ONE, responses=problems(404), **ADMIN)
    async def remove_endpoint(endpoint_id: EndpointId) -> EndpointRecord:
        """Remove an endpoint, with its place and its dead letters."""
        return await done(desk.remove, endpoint_id)


async def done(act: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Return what the desk has done. Raises RequestRefused, UnavailableError."""
    try:
        return await asyncio.to_thread(act, *arguments, **named)
    except RefusedUrlError as error:
        raise RequestRefused(invalid("url", str(error))) from None
    except UnknownEndpointError:
        raise nobody() from None
    except EnvironmentEndpointError:
        raise refused("This endpoint is of the environment, and changed there alone") from None
    except TooManyEndpointsError:
        raise RequestRefused(
            invalid("url", f"{ENDPOINTS_MAX} endpoints are kept already")
        ) from None
    except StoreError:
        raise UnavailableError from None


def nobody() -> RequestRefused:
    """Return the refusal of what is about no endpoint."""
    return RequestRefused(make_problem("not_found", "There is no such endpoint"))
