"""The pages of the console by their addresses."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.resources import files

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actors.console.console import Console, see
from actors.console.guard import ForgedFormError, Guard, Place
from actors.console.pages import (
    change,
    csv_lists,
    endpoints,
    entrance,
    keys,
    lists,
    overview,
    prices,
    user,
)
from actors.console.rates import Rates
from actors.console.service import RefusedError, ServiceAwayError, connected
from actors.console.sessions import Link, Sessions

STATIC = {
    "console.css": "text/css",
    "tables.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
CACHED = {"Cache-Control": "max-age=300"}
WRONG_WORDS = "This page is too old to be sent, or was sent from elsewhere. Nothing was changed."


def wall_time() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def build_app(
    address: str,
    place: Place,
    link: Link | None = None,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    now: Callable[[], datetime] = wall_time,
    clock: Callable[[], float] = time.monotonic,
) -> Starlette:
    """Return the console of the service at an address."""
    sessions = Sessions(clock)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with connected(address, transport) as service:
            app.state.console = Console(service, sessions, place, link, Rates(), now, clock)
            yield

    return Starlette(
        routes=[
            Route("/static/{name}", get_static),
            Route("/sign-in", entrance.get_sign_in),
            Route("/sign-in", entrance.sign_in, methods=["POST"]),
            Route("/sign-in/link", entrance.sign_in_by_link, methods=["POST"]),
            Route("/sign-out", entrance.sign_out, methods=["POST"]),
            Route("/", overview.get_overview),
            Route("/live/overview", overview.get_live),
            Route("/subscriptions", lists.get_subscriptions),
            Route("/subscriptions/left", lists.get_users_left),
            Route("/events", lists.get_events),
            Route("/events/redeliver", lists.redeliver, methods=["POST"]),
            Route("/endpoints", endpoints.get_endpoints),
            Route("/endpoints/test", endpoints.test_endpoint, methods=["POST"]),
            Route("/endpoints/{action}", endpoints.DESK.show),
            Route("/endpoints/{action}", endpoints.DESK.plan_or_do, methods=["POST"]),
            Route("/sweeps", lists.get_sweeps),
            Route("/shards", lists.get_shards),
            Route("/live/reshard", lists.get_live_reshard),
            Route("/audit", lists.get_audit),
            Route("/refusals", lists.get_refusals),
            Route("/prices", prices.get_prices),
            Route("/csv/{name}", csv_lists.get_csv),
            Route("/keys", keys.get_keys),
            Route("/keys/{action}", keys.DESK.show),
            Route("/keys/{action}", keys.DESK.plan_or_do, methods=["POST"]),
            Route("/user", user.get_user),
            Route("/user/{action}", change.DESK.show),
            Route("/user/{action}", change.DESK.plan_or_do, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, place=place, sessions=sessions)],
        exception_handlers={
            404: _not_found,
            ForgedFormError: _forged,
            ServiceAwayError: _away,
            RefusedError: _refused,
        },
        lifespan=lifespan,
    )


async def get_static(request: Request) -> Response:
    """Return a file that pages need."""
    name = request.path_params["name"]
    if name not in STATIC:
        return _told(request, 404, "There is no such file.")
    content = (files("actors.console") / "static" / name).read_bytes()
    return Response(content, media_type=STATIC[name], headers=CACHED)


def _told(request: Request, status: int, title: str, detail: str = "") -> Response:
    console: Console = request.app.state.console
    return console.page(request, "told.html", status, title=title, detail=detail)


async def _not_found(request: Request, _error: Exception) -> Response:
    return _told(request, 404, "There is no such page.")


async def _forged(request: Request, _error: Exception) -> Response:
    return _told(request, 403, "This form was not sent.", WRONG_WORDS)


async def _away(request: Request, _error: Exception) -> Response:
    return _told(request, 503, "The service does not answer.", "Try again when it runs.")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError), "the handler is this one's"
    if error.status == 401:
        console: Console = request.app.state.console
        console.sessions.end(request.cookies.get(console.place.cookie, ""))
        answer = see("/sign-in?why=key")
        console.place.forget(answer)
        return answer
    status = 404 if error.status == 404 else 502
    return _told(request, status, error.title, error.detail)
