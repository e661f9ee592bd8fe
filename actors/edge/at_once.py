"""Operations that answer at once: they take the bare request, before FastAPI and Serve see it.

The layers of those cost more than all of ours. FastAPI knows the same functions, for the
documentation.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.types import Scope

from actors.auth.caller import Scope as KeyScope
from actors.edge.callers import require_scope
from actors.edge.once import MemberTwiceError, check_members
from actors.edge.problems import RequestRefused, invalid, invalid_fields
from domain.api.requests import COMMAS_MAX, Body, IdempotencyKey

HOLDS = "/subscription/holds/"
SETTLE = "/settle"
SETTLEMENTS = f"{HOLDS}{{hold_id}}{SETTLE}"
KEY: TypeAdapter[str] = TypeAdapter(IdempotencyKey)

Operation = Callable[[Request], Awaitable[Response]]
Place = tuple[str, str]
"""By what an operation is found: its method, and its path, in which no hold's id stands."""

B = TypeVar("B", bound=Body)
T = TypeVar("T")


def place_of(scope: Scope) -> Place:
    """Return the place of a request's operation."""
    path: str = scope["path"]
    if path.startswith(HOLDS) and path.endswith(SETTLE):
        hold_id = hold_id_in(path)
        if hold_id and "/" not in hold_id:
            path = SETTLEMENTS
    return scope["method"], path


def hold_id_in(path: str) -> str:
    """Return the hold's id in the path of its settlement."""
    return path[len(HOLDS) : -len(SETTLE)]


def writing(
    model: type[B], operate: Callable[[Request, B, str | None], Awaitable[Response]]
) -> Operation:
    """Return an operation that writes; `operate` gets the request, its body and its idempotency key."""

    async def at_once(request: Request) -> Response:
        require_scope(request, KeyScope.WRITE)
        key = request.headers.get("idempotency-key")
        if key is not None:
            parsed(KEY, "Idempotency-Key", key)
        return await operate(request, body_in(request, model), key)

    return at_once


def body_in(request: Request, model: type[B]) -> B:
    """Return the body of a request, or refuse the request and name what is wrong with it."""
    text: bytes = request.scope["body"]
    if text.count(b",") > COMMAS_MAX:  # Naming what is wrong with each part would take long.
        raise RequestRefused(invalid("body", "has more parts than it can have"))
    try:
        body = model.model_validate_json(text)
    except ValidationError as error:
        raise RequestRefused(invalid_fields(error)) from None
    try:
        check_members(text, len(body.model_fields_set))
    except MemberTwiceError as error:
        raise RequestRefused(invalid("body", str(error))) from None
    return body


def parsed(adapter: TypeAdapter[T], field: str, value: object) -> T:
    """Return a checked parameter, or refuse the request and name it."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise RequestRefused(invalid_fields(error, field)) from None
