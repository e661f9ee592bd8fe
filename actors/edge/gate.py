"""What every request passes first: its limits, who sends it, how much that caller may send.

Nothing behind the gate is reached without a key or a token, but what OPEN names; bodies are read
here, within their limits, and only of callers who are known.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI, Request, Response
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from actors.auth.caller import Caller
from actors.edge.addresses import divided
from actors.edge.at_once import Operation, Place, place_of
from actors.edge.backend import HEAD_ONLY, Backend
from actors.edge.credentials import authenticate
from actors.edge.heads import WHOLE
from actors.edge.limits import Allowance
from actors.edge.once import check_once
from actors.edge.problems import (
    RequestRefused,
    explained,
    invalid,
    make_problem,
    problem_of,
    respond,
)
from actors.protocol.errors import AllotmentError
from actors.protocol.limits import HEADER_BYTES_MAX
from actors.runtime.counters import OperationCounters

BODY_BYTES_MAX = 1024 * 1024
BODY_SECONDS_MAX = 10.0  # How long a client may take to send its body.
TARGET_BYTES_MAX = 8 * 1024  # Path and query.
HEADERS_MAX = 100
CONTAINERS_MAX = 50_000  # Lists and objects of a body: making a million of them takes long.
WITHOUT_BODY = frozenset({"GET", "OPTIONS"})

SIGNED = "/stripe/webhook"  # Its body is taken as it is: it is signed, or it is nothing.
ALIVE = "/healthz"
OPEN = frozenset({ALIVE, "/readyz", "/openapi.json", "/portal", SIGNED})
"""Paths that need no key: probes, the schema, the page for users, what brings a signature of its own."""
OPEN_FOLDERS = ("/docs/", "/embed/")
TRACE = "trace"  # Under this a scope has its request's trace, where there is one (`traced.py`).

logger = logging.getLogger(__name__)


class Gate:
    """An ASGI application: hot operations answer at once, all else goes on to `app`."""

    def __init__(
        self, app: FastAPI, backend: Backend, operations: Mapping[Place, Operation]
    ) -> None:
        self._app = app
        self._backend = backend
        self._operations = operations
        self.counters = {place: OperationCounters() for place in operations}
        """Of each hot operation."""
        self.closed = ""  # Why nothing is answered now, but that the process lives.

    @property
    def routes(self) -> list[BaseRoute]:
        """Every route behind the gate."""
        return self._app.routes

    def answers_at_once(self, scope: Scope) -> bool:
        """Whether a request is for a hot operation."""
        return place_of(scope) in self._operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. There are no others: no WebSockets, no lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, scope = time.monotonic(), divided(scope)
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET", HEAD_ONLY: True}, without_body(send)
        place = place_of(scope)
        response: Response | FastAPI
        try:
            response, receive = await self._answer(scope, receive, self._operations.get(place))
        except ClientGoneError:
            return
        except RequestRefused as refused:
            problem = explained(refused.problem, scope["query_string"])
            response = respond(problem, refused.headers)
        except AllotmentError as error:
            response = respond(problem_of(error))
        except Exception:
            logger.exception("%s failed", scope["path"])
            response = respond(make_problem("internal_error", "The service failed"))
        counters = self.counters.get(place)
        if counters is not None and isinstance(response, Response):
            counters.note(response.status_code, time.monotonic() - began)
        await response(scope, receive, with_headers(send, scope.get("allowance")))

    async def _answer(
        self, scope: Scope, receive: Receive, operation: Operation | None
    ) -> tuple[Response | FastAPI, Receive]:
        """Return the answer, or the application that has it; and how to receive the body again."""
        check_head(scope)
        if self.closed and scope["path"] != ALIVE:
            raise RequestRefused(make_problem("storage_unavailable", self.closed))
        if not is_open(scope["path"]):
            caller = await authenticate(self._backend, scope)
            scope["caller"] = caller
            if TRACE in scope:
                scope[TRACE].is_known = True
            scope["allowance"] = self._count(caller)
        check_once(scope)
        receive = await receive_whole(scope, receive)
        if operation is None:
            return self._app, receive
        return await operation(Request(scope, receive)), receive

    def _count(self, caller: Caller) -> Allowance | None:
        """Count a request against the caller's quota. Raises RequestRefused."""
        if self._backend.rate_limit is None:
            return None
        allowance = self._backend.rate_limit.take(caller.name, time.monotonic())
        if allowance.remaining < 0:
            title = "This caller has sent too many requests; try again later"
            problem = make_problem("rate_limited", title)
            raise RequestRefused(
                problem, allowance.headers | {"Retry-After": str(allowance.reset_seconds)}
            )
        return allowance


class ClientGoneError(Exception):
    """The client went away before its request was whole."""


def is_open(path: str) -> bool:
    """Say whether a path needs no key. With one slash more it is 404 to anybody, not 401."""
    return path.removesuffix("/") in OPEN or f"{path}/".startswith(OPEN_FOLDERS)


def check_head(scope: Scope) -> None:
    """Refuse a request whose first lines are too long, or are not UTF-8."""
    headers, query = scope["headers"], scope["query_string"]
    path = scope.get("raw_path") or scope["path"].encode()
    if len(path) + len(query) > TARGET_BYTES_MAX:
        raise RequestRefused(make_problem("too_large", "The address is too long"))
    if (
        len(headers) > HEADERS_MAX
        or sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES_MAX
    ):
        raise RequestRefused(make_problem("too_large", "The headers are too many or too long"))
    for part in (path, query):
        if b"%" in part or not part.isascii():
            try:
                unquote_to_bytes(part).decode()
            except UnicodeDecodeError:
                raise RequestRefused(invalid("address", "is not UTF-8")) from None


async def receive_whole(scope: Scope, receive: Receive) -> Receive:
    """Read a request's body, and return how to receive it again. Raises RequestRefused."""
    if scope["method"] in WITHOUT_BODY:
        return receive
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length[:20]) > BODY_BYTES_MAX:
        raise too_large()
    is_whole = WHOLE in scope.get("extensions", ())
    body = await (read_body(receive) if is_whole else read_in_time(receive))
    if body and scope["path"] != SIGNED:
        check_type(scope, headers.get(b"content-type"))
        check_coding(headers.get(b"content-encoding"))
        check_containers(body)
    scope["body"] = body  # Where hot operations take it.
    return again(body, receive)


async def read_in_time(receive: Receive) -> bytes:
    """Return the whole body. Raises what `read_body` does, and RequestRefused where it is late."""
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await read_body(receive)
    except TimeoutError:
        title = "The body did not arrive in time"
        raise RequestRefused(make_problem("request_timeout", title)) from None


async def read_body(receive: Receive) -> bytes:
    """Return the whole body. Raises RequestRefused where it is too long, ClientGoneError."""
    parts, length, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        part = message.get("body", b"")
        length += len(part)
        if length > BODY_BYTES_MAX:
            raise too_large()
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large() -> RequestRefused:
    """Return the refusal of a body that is too long."""
    title = f"A body has at most {BODY_BYTES_MAX} bytes"
    return RequestRefused(make_problem("too_large", title))


def check_type(scope: Scope, content_type: bytes | None) -> None:
    """Refuse a body that says it is something else than JSON; one that says nothing is JSON."""
    if content_type is None:
        scope["headers"] = [*scope["headers"], (b"content-type", b"application/json")]
        return
    media_type = content_type.partition(b";")[0].strip().lower()
    is_json = media_type == b"application/json" or (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    )
    if not is_json:
        title = "A body is JSON: Content-Type must be application/json"
        raise RequestRefused(make_problem("unsupported_media_type", title))


def check_coding(coding: bytes | None) -> None:
    """Refuse a body that is compressed: how long it is would be known too late."""
    if coding is not None and coding.strip().lower() not in (b"", b"identity"):
        title = "A body is sent as it is: there is no Content-Encoding but identity"
        raise RequestRefused(make_problem("unsupported_media_type", title))


def check_containers(body: bytes) -> None:
    """Refuse a body of more lists and objects than anybody means."""
    if len(body) > CONTAINERS_MAX and body.count(b"[") + body.count(b"{") > CONTAINERS_MAX:
        raise RequestRefused(invalid("body", f"has more than {CONTAINERS_MAX} lists and objects"))


def again(body: bytes, receive: Receive) -> Receive:
    """Return a receive that gives the whole body once, and then what comes after it."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def without_body(send: Send) -> Send:
    """Return a send that leaves bodies out: the answer to HEAD."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def with_headers(send: Send, allowance: Allowance | None) -> Send:
    """Return a send that tells callers what is left of their quota."""
    if allowance is None:
        return send
    added = [(name.lower().encode(), text.encode()) for name, text in allowance.headers.items()]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return send_with_headers
