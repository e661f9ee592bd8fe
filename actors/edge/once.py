"""What a request says twice is refused: readers differ in which of the two counts.

Parameters of its address, headers, members of the objects of its body.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Scope

from actors.edge.addresses import parameters
from actors.edge.problems import SAID_LENGTH_MAX, RequestRefused, invalid, sayable

SEVERAL = frozenset({("/events", "types")})
"""Parameters that may be given more than once, by path."""
SINGLE = (b"idempotency-key", b"content-type", b"last-event-id", b"stripe-signature")
"""Headers of which a request has one at most. Two of `authorization` are nobody's."""


def check_once(scope: Scope) -> None:
    """Refuse a request whose address or head says something twice. Raises RequestRefused."""
    if b"&" in scope["query_string"]:
        check_parameters(scope["path"], scope["query_string"])
    names = [name for name, _ in scope["headers"]]
    for header in SINGLE:
        if names.count(header) > 1:
            raise RequestRefused(invalid(header.decode().title(), "is given more than once"))


def check_parameters(path: str, query: bytes) -> None:
    """Refuse a query that gives a parameter twice. Raises RequestRefused."""
    seen: set[str] = set()
    for name, _ in parameters(query):
        if name in seen and (path, name) not in SEVERAL:
            raise RequestRefused(invalid(sayable(name), "is given more than once"))
        seen.add(name)


class MemberTwiceError(ValueError):
    """An object of a JSON text has a member twice. Its text is one a caller may read."""


def read_json(text: bytes | str) -> Any:
    """Return what a JSON text says. Raises MemberTwiceError, JSONDecodeError, RecursionError."""
    return json.loads(text, object_pairs_hook=_object)


def check_members(text: bytes, members: int) -> None:
    """Refuse a text that has a member twice. Raises MemberTwiceError.

    It is valid, and its outermost object has so many different members.
    """
    if text.count(b":") > members:  # Else there are no others, and no objects in it.
        read_json(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = Counter(name for name, _ in pairs)
        twice = names.most_common(1)[0][0]
        raise MemberTwiceError(f"{twice[:SAID_LENGTH_MAX]!r} is there more than once")
    return members


class OnceRequest(Request):
    """A request whose JSON has every member once."""

    async def json(self) -> Any:
        """Return what the body says."""
        try:
            return read_json(await self.body())
        except MemberTwiceError as error:
            raise HTTPException(422, str(error)) from None  # All else FastAPI takes for a 400.


class OnceRoute(APIRoute):
    """A route that reads bodies so."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            response: Response = await handler(OnceRequest(request.scope, request.receive))
            return response

        return handle
