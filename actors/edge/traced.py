"""Traces of requests: a span from a request's head to its answer, for callers who are known.

A span says the operation, the status and the code of a problem: no path, no query, no body, no id of anybody.
"""

import contextlib
import json
import re
import time
from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.edge.addresses import divided
from actors.edge.at_once import Place, place_of
from actors.edge.gate import TRACE, is_open
from actors.runtime import tracing
from actors.runtime.otlp import SERVER, Span, Tracer
from actors.runtime.tracing import Parent

HEADER = b"x-allotment-traceparent"
"""What HAProxy calls a caller's `traceparent`: Serve takes that for its own."""
PARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PROBLEM = b"application/problem+json"
STREAM = b"text/event-stream"


class Traced:
    """An ASGI application that answers as `app` does, and traces what is no probe."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        operations: frozenset[Place],
        tracer: Tracer,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._app = app
        self._routes = routes
        self._operations = operations
        self._tracer = tracer
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        trace = RequestTrace(self._tracer, self._clock, scope, self._route_of(scope))
        token = tracing.enter(trace.carried)
        try:
            await self._app({**scope, TRACE: trace}, receive, trace.noting(send))
        except BaseException as error:
            trace.error = type(error).__name__
            raise
        finally:
            tracing.leave(token)
            trace.end()

    def _route_of(self, scope: Scope) -> str | None:
        """Return the path of a request's operation as the interface documents it."""
        scope = divided(scope)
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        place = place_of(scope)
        if place in self._operations:
            return place[1]
        routes = [(one.matches(scope)[0], one) for one in self._routes if isinstance(one, Route)]
        for wanted in (Match.FULL, Match.PARTIAL):  # Partial: the path is one, the method is not.
            for match, route in routes:
                if match is wanted:
                    return route.path_format
        return None


class RequestTrace:
    """The span of one request. It begins once something is to name it as its parent, or at the end.

    That is after the gate: strangers' requests leave no span, and their `traceparent` is not believed.
    """

    def __init__(
        self, tracer: Tracer, clock: Callable[[], int], scope: Scope, route: str | None
    ) -> None:
        self._tracer = tracer
        self._clock = clock
        self._began = clock()
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        self._told: dict[str, str | int | bool] = {"http.request.method": method}
        if route is not None:
            self._told["http.route"] = route
        self._name = f"{method} {route}" if route else method
        given = dict(scope["headers"]).get(HEADER, b"").decode("latin-1")
        self._caller = given if PARENT.fullmatch(given) else None
        self._span: Span | None = None
        self._parent: Parent | None = None
        self._status: int | None = None
        self._is_problem = False
        self._is_over = False
        self.is_known = False
        """The gate knows its caller."""
        self.error: str | None = None

    def carried(self) -> Parent | None:
        """Return this request's span, for its children; None where it is not sampled."""
        if self._span is None and self.is_known:
            self._span = self._tracer.begin(self._name, self._caller, self._began, SERVER)
            self._parent = self._span.parent
        return self._parent

    def noting(self, send: Send) -> Send:
        """Return a send that notes what is answered."""

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note_head(message)
            elif self._is_problem and message.get("body"):
                self._note_problem(message["body"])
            await send(message)

        return send_noted

    def _note_head(self, message: Message) -> None:
        headers = dict(message.get("headers", ()))
        self._status = message["status"]
        self._told["http.response.status_code"] = message["status"]
        kind: bytes = headers.get(b"content-type", b"")
        self._is_problem = kind.startswith(PROBLEM)
        if b"idempotent-replayed" in headers:
            self._told["allotment.replayed"] = True
        if kind.startswith(STREAM):  # It may last for hours.
            self.end()

    def _note_problem(self, body: bytes) -> None:
        self._is_problem = False
        with contextlib.suppress(ValueError, AttributeError):
            self._told["allotment.code"] = str(json.loads(body).get("code", ""))

    def end(self) -> None:
        """End the span, once."""
        if self._is_over or not self.is_known:
            return
        self._is_over = True
        self.carried()
        assert self._span is not None, "it has begun"
        error = self.error
        if error is None and (self._status or 0) >= 500:
            error = str(self._told.get("allotment.code") or self._status)
        self._span.end(self._clock(), self._told, error)
