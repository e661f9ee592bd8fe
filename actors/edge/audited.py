"""Writes down who does what of an administrator's acts, before it is done and after.

Whatever needs the scope `admin` and changes something is such an act: a route that says so is audited
by that alone. Nothing else passes here.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from actors.auth.audit import Act, ActOutcome, Audit, make_act
from actors.auth.caller import Scope
from actors.edge.callers import Permit, caller_of
from actors.edge.once import OnceRoute
from actors.edge.problems import RequestRefused, problem_of
from actors.protocol.errors import AllotmentError, UnavailableError
from actors.protocol.store import StoreError
from domain.values import UserId, parse_user_id, to_instant

MADE = "allotment.made"  # In a request's scope: the id of what it has made,
NOW_CALLED = "allotment.now_called"  # and that of the user it is about, where it has given another.
READING = frozenset({"GET", "HEAD"})

Handler = Callable[[Request], Awaitable[Response]]


def is_administrative(route: APIRoute) -> bool:
    """Say whether a route is for administrators, and changes something."""
    permits = (d.dependency for d in route.dependencies if isinstance(d.dependency, Permit))
    needs_admin = any(permit.scope is Scope.ADMIN for permit in permits)
    return needs_admin and READING.isdisjoint(route.methods or ())


class AuditedRoute(OnceRoute):
    """A route whose acts are written down, if they are an administrator's."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()
        if not is_administrative(self):
            return handler

        async def handle(request: Request) -> Response:
            if not caller_of(request).has(Scope.ADMIN):  # It is refused, and that is all.
                response: Response = await handler(request)
                return response
            return await written_down(request, act_of(request, self.path_format), handler)

        return handle


def act_of(request: Request, path: str) -> Act:
    """Return what a request asks for, as it is written down."""
    names = {name: str(value) for name, value in request.path_params.items()}
    target = next((value for name, value in names.items() if name != "user_id"), None)
    return make_act(
        to_instant(datetime.now(UTC)),
        caller_of(request).name,
        f"{request.method} {path}",
        target=target,
        user_id=user_of(names.get("user_id") or _in_body(request)),
    )


def user_of(told: object) -> UserId | None:
    """Return the user that a request names; None: it names none."""
    try:
        return parse_user_id(told) if isinstance(told, str) else None
    except ValueError:
        return None


def _in_body(request: Request) -> object:
    try:
        body = json.loads(request.scope.get("body") or b"null")
    except (ValueError, RecursionError):
        return None
    return body.get("user_id") if isinstance(body, dict) else None


async def written_down(request: Request, act: Act, handler: Handler) -> Response:
    """Do an act that is written down first. Raises UnavailableError: it cannot be written down."""
    audit: Audit = request.app.state.audit
    try:
        await asyncio.to_thread(audit.begin, act)
    except StoreError:
        raise UnavailableError from None
    outcome = ActOutcome.FAILED
    try:
        response = await handler(request)
        outcome = outcome_of(response.status_code)
    except (RequestRefused, AllotmentError) as error:
        problem = error.problem if isinstance(error, RequestRefused) else problem_of(error)
        outcome = outcome_of(problem.status)
        raise
    except (RequestValidationError, HTTPException):
        outcome = ActOutcome.REFUSED
        raise
    finally:
        with contextlib.suppress(StoreError):  # Then it stays `asked`.
            made, now_called = map(request.scope.get, (MADE, NOW_CALLED))
            await asyncio.to_thread(audit.finish, act.act_id, outcome, made, now_called)
    return response


def outcome_of(status: int) -> ActOutcome:
    """Return what became of an act, by the status of its answer."""
    if status < 400:
        return ActOutcome.DONE
    return ActOutcome.REFUSED if status < 500 else ActOutcome.FAILED
