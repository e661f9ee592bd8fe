"""The operations on holds: set aside, settle, release, and see what is open."""

from typing import Annotated, Any

from fastapi import FastAPI, Path, Request, Response
from pydantic import TypeAdapter

from actors.edge.at_once import SETTLEMENTS, Operation, Place, hold_id_in, parsed, writing
from actors.edge.backend import NEEDS_KEY_OR_TOKEN, Backend
from actors.edge.callers import WRITES, call_of, require_reading
from actors.edge.responses import answered, problems, written
from actors.edge.routes.subscription import KeyHeader, UserIdQuery, read_list
from actors.protocol.errors import HoldNotFoundError
from actors.protocol.queries import HoldsQuery
from domain.api.answers import UsageRecordResponse
from domain.api.hold_answers import HoldResponse, OpenHolds
from domain.api.hold_requests import PlaceHoldBody, ReleaseHoldBody, SettleHoldBody
from domain.holds import HOLD_ID_LENGTH_MAX, ReleaseHold, SettleHold
from domain.values import UserId

HoldId = Annotated[str, Path(min_length=1, max_length=HOLD_ID_LENGTH_MAX)]
HOLD_ID: TypeAdapter[str] = TypeAdapter(HoldId)


def add_hold_operations(app: FastAPI, backend: Backend) -> dict[Place, Operation]:
    """Add the operations on holds; return those that answer at once."""
    return _add_opening(app, backend) | _add_closing(app, backend)


def _add_opening(app: FastAPI, backend: Backend) -> dict[Place, Operation]:
    reads: dict[str, Any] = {"openapi_extra": {"security": NEEDS_KEY_OR_TOKEN}}

    @app.post(
        "/subscription/holds",
        status_code=201,
        response_model=HoldResponse,
        responses=written(402),
        **WRITES,
    )
    async def place_hold(
        request: Request, body: PlaceHoldBody, idempotency_key: KeyHeader = None
    ) -> Response:
        """Set credits aside, today's first, until they are settled or released, or the hold expires."""
        call = call_of(request, body.command(), idempotency_key)
        return await answered(backend, await backend.router.call(call), 201)

    @app.get("/subscription/holds", response_model=OpenHolds, responses=problems(), **reads)
    async def get_holds(request: Request, user_id: UserIdQuery) -> Response:
        """Return a user's open holds, the one that expires first before the others."""
        require_reading(request, UserId(user_id), of_services=True)
        return await read_list(backend, request, HoldsQuery(UserId(user_id)))

    return {("POST", "/subscription/holds"): writing(PlaceHoldBody, place_hold)}


def _add_closing(app: FastAPI, backend: Backend) -> dict[Place, Operation]:
    async def close(
        request: Request, command: SettleHold | ReleaseHold | None, key: str | None, status: int
    ) -> Response:
        if command is None:
            raise HoldNotFoundError
        call = call_of(request, command, key)
        return await answered(backend, await backend.router.call(call), status)

    @app.post(
        "/subscription/holds/{hold_id:segment}/settle",
        status_code=201,
        response_model=UsageRecordResponse,
        responses=written(402, 404, 409),
        **WRITES,
    )
    async def settle_hold(
        request: Request, hold_id: HoldId, body: SettleHoldBody, idempotency_key: KeyHeader = None
    ) -> Response:
        """Turn a hold into a charge to its own sources; what it cost beyond is charged as far as it can be.

        A hold that has expired can still be settled for a while, as a late charge to today.
        """
        return await close(request, body.command(hold_id), idempotency_key, 201)

    async def settle_hold_at_once(
        request: Request, body: SettleHoldBody, idempotency_key: str | None
    ) -> Response:
        hold_id = parsed(HOLD_ID, "hold_id", hold_id_in(request.scope["path"]))
        return await settle_hold(request, hold_id, body, idempotency_key)

    @app.delete(
        "/subscription/holds/{hold_id:segment}",
        status_code=204,
        response_class=Response,
        responses=written(404, 409),
        **WRITES,
    )
    async def release_hold(
        request: Request,
        hold_id: HoldId,
        body: ReleaseHoldBody | None = None,
        idempotency_key: KeyHeader = None,
    ) -> Response:
        """Give back what a hold has set aside. A body may say why."""
        command = (body or ReleaseHoldBody()).command(hold_id)
        response = await close(request, command, idempotency_key, 204)
        if response.status_code != 204:
            return response
        kept = ("idempotent-replayed",)
        return Response(None, 204, {k: v for k, v in response.headers.items() if k in kept})

    return {("POST", SETTLEMENTS): writing(SettleHoldBody, settle_hold_at_once)}
