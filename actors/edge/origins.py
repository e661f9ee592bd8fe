"""Requests from browsers' pages of other origins (CORS): which pages may read what is answered."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.edge.problems import make_problem, respond
from actors.runtime.service_settings import ServiceSettings

METHODS = ("GET", "POST", "PATCH", "DELETE")
SENT = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID")
READ = ("RateLimit", "RateLimit-Policy", "Retry-After", "Idempotent-Replayed")
REMEMBERED_SECONDS = 600  # How long a browser may go without asking again.


class Shared(CORSMiddleware):
    """An application that answers pages of some origins, too; `*`: of any.

    It answers what browsers ask before a request (preflights) itself, without a key. Credentials are
    sent in `Authorization` alone: no cookie, so no page acts for a user that it has no token of.
    It answers as the rest of the interface does: plain texts are never its own, HAProxy knows.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=SENT,
            expose_headers=READ,
            max_age=REMEMBERED_SECONDS,
        )
        self._always = tuple(origins)

    def take(self, settings: ServiceSettings) -> None:
        """Answer pages of the origins that are set at run time, too, and of no others of those before."""
        self.allow_origins = (*self._always, *settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self.allow_origins:
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return what a browser may send: 204, or a problem body."""
        told = super().preflight_response(request_headers)
        if told.status_code != 200:
            return respond(make_problem("forbidden", "Pages of this origin may not send this"))
        kept = {name: text for name, text in told.headers.items() if "content" not in name}
        return Response(status_code=204, headers=kept)
